"""How long the rest of a plan will take, and what room it needs: from runs that have been finished, or probed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from cmbench.experiments.environment import environment
from cmbench.experiments.files import BEST, RESULT, WEIGHTS
from cmbench.experiments.outside import is_probed
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result
from cmbench.experiments.settings import TrainSettings
from cmbench.experiments.state import RunState
from cmbench.experiments.text import canonical

_LENGTH = ("epochs", "max_steps", "schedule", "loss_bound", "data")
"""Settings that a step's time does not depend on."""


@dataclass(frozen=True)
class Sample:
    """What a step of an optimizer takes with some settings: its seconds, a share of the evaluations among them.

    An epoch here goes over every task. `memory` and `disk` are bytes: the most that a run has held, and what it leaves.
    """

    settings: str
    optimizer: str
    evaluations: int
    seconds: float
    steps_per_epoch: float
    memory: int = 0
    disk: int = 0


@dataclass(frozen=True)
class Estimate:
    """What a plan still takes: `seconds` with so many runs at once, and for each of its runs that is not done.

    `unknown` counts the runs that nothing is known of; `rough` says that some of an optimizer without a finished run
    are reckoned by the gradients that it needs. `memory` is of one run, `disk` of all that are left.
    """

    seconds: float
    of_run: dict[str, float]
    unknown: int
    rough: bool
    memory: int
    disk: int


def samples_of(results: Iterable[tuple[Path, Result]], device: str) -> list[Sample]:
    """A sample of every training that was completed on this device, and processor."""
    here = environment(device)
    found = []
    for path, result in results:
        cost = result.cost
        cut = result.settings.get("max_steps") is not None
        epochs = len(result.curves.get("epoch", [])) if cut else result.settings.get("epochs")
        same = all(result.environment.get(name) == here[name] for name in ("device", "cpu"))
        if result.kind != "train" or result.status != "completed" or result.taken_from or not same:
            continue
        if cost and result.optimizer and epochs:
            files = (path.with_suffix(suffix) for suffix in (RESULT, WEIGHTS, BEST))
            found.append(
                Sample(
                    settings_key(result.settings),
                    result.optimizer.name,
                    round(cost.gradient_evaluations / cost.steps),
                    cost.wall_seconds / cost.steps,
                    cost.steps / epochs,
                    cost.peak_memory_bytes or 0,
                    sum(file.stat().st_size for file in files if file.exists()),
                )
            )
    return found


def estimate(
    specs: Sequence[RunSpec[TrainSettings]],
    states: Sequence[RunState],
    samples: Sequence[Sample],
    jobs: int,
    start: float = 0.0,
) -> Estimate:
    """The estimate for a plan whose runs stand at `states`, `jobs` at once besides those that run elsewhere.

    `start` is the seconds that a command takes until it trains.
    """
    of_run: dict[str, float] = {}
    unknown, rough, memory, disk = 0, False, 0, 0
    going_on = [0.0]
    for spec, state in zip(specs, states, strict=True):
        if state.is_done or spec.id in of_run:
            continue
        alike = [sample for sample in samples if sample.settings == settings_key(spec.settings.document())]
        own = [sample for sample in alike if sample.optimizer == spec.chosen_optimizer.name]
        if not alike:
            unknown += 1
            continue
        steps = spec.settings.epochs * fmean(sample.steps_per_epoch for sample in alike)
        left = max(0.0, min(steps, spec.settings.max_steps or steps) - (state.step or 0))
        if own:
            seconds = left * fmean(sample.seconds for sample in own)
        else:
            rough = True
            chosen = spec.chosen_optimizer
            seconds = left * fmean(s.seconds / s.evaluations for s in alike)
            seconds *= 2 if is_probed(chosen.name, chosen.hyperparameters) else 1
        of_run[spec.id] = seconds
        memory = max(memory, *(sample.memory for sample in own or alike))
        disk += round(fmean(sample.disk for sample in own or alike))
        if state.status == "running":
            going_on.append(seconds)
    waiting = [of_run[s.run] for s in {s.run: s for s in states}.values() if s.run in of_run and s.status != "running"]
    together = max([sum(waiting) / jobs, *waiting]) + start if waiting else 0.0
    return Estimate(max(together, *going_on), of_run, unknown, rough, memory, disk)


def settings_key(settings: dict[str, Any]) -> str:
    """Equal for settings that a step takes equally long with."""
    return canonical({name: value for name, value in settings.items() if name not in _LENGTH})
