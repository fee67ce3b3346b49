"""Measurements of finished training runs, each a result of its own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from cmbench.curvature.contract import Problem
from cmbench.curvature.metrics import measure_metric
from cmbench.curvature.slices import weights_of
from cmbench.curvature.targets import Target, other_runs
from cmbench.errors import UserError
from cmbench.experiments.execute import Outcome, execute, in_turn
from cmbench.experiments.listener import Listener
from cmbench.experiments.measurements import READ_BY, SharpnessSettings
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.record import Measurement
from cmbench.experiments.result import Cost
from cmbench.experiments.seeding import TASKS, generator
from cmbench.experiments.store import ResultStore
from cmbench.experiments.text import canonical
from cmbench.training import checkpoint
from cmbench.workloads.base import Workload
from cmbench.workloads.registry import get_workload


@dataclass(frozen=True)
class Planned:
    """A measurement with the run that it is of, and the files of its weights and, behind them, those of other runs."""

    target: Target
    spec: RunSpec[SharpnessSettings]
    weights: Sequence[Path]


def measure_runs(
    targets: Sequence[Target],
    ways: Sequence[SharpnessSettings],
    out: Path,
    device: torch.device,
    *,
    force: bool = False,
    data_dir: Path | None = None,
    listener: Listener | None = None,
    step_done: Callable[[], None] = lambda: None,
) -> Outcome:
    """Measures every target in each of the ways; the results lie beside the runs, or in `out`.

    `step_done` is called after every Hessian-vector product, and every loss of a slice. Raises `UserError` before
    anything is measured when one of the targets cannot be, also together with the other runs that a way names.
    """
    planned = _plan(targets, ways, out)
    by_id = {each.spec.id: each for each in planned}
    workloads: dict[str, Workload] = {}
    made: dict[str, Measurement] = {}

    def run(specs: Sequence[RunSpec[SharpnessSettings]]) -> Iterator[Measurement]:
        for spec in specs:
            target, (own, *others) = by_id[spec.id].target, by_id[spec.id].weights
            trained = target.result.settings
            name = canonical([trained["workload"], trained.get("options")])
            if name not in workloads:
                workloads[name] = load_workload(target, device, data_dir)
            # The best weights are often the last ones: what is asked of both is measured once.
            way = spec.settings.model_copy(update={"at": _digest(own)})
            key = canonical([way.document(), *map(str, others)])
            if key not in made:
                made[key] = measure(spec, own, workloads[name], device, trained["batch_size"], step_done, others)
            yield made[key]

    by_root: dict[Path, list[RunSpec[SharpnessSettings]]] = {}
    for each in planned:
        by_root.setdefault(each.target.root(out).absolute(), []).append(each.spec)
    outcomes = [
        execute(specs, ResultStore(root), in_turn(run), force=force, device=str(device), listener=listener)
        for root, specs in by_root.items()
    ]
    results = [result for outcome in outcomes for result in outcome.results]
    return Outcome(results, sum(outcome.skipped for outcome in outcomes), [each.spec for each in planned])


def _plan(targets: Sequence[Target], ways: Sequence[SharpnessSettings], out: Path) -> list[Planned]:
    """Every measurement once; none of a run together with itself."""
    planned: dict[tuple[str, str, str], Planned] = {}
    others = other_runs(ways, out)
    for target in targets:
        for way in ways:
            beside = [others[text] for text in way.to if "to" in READ_BY[way.metric]]
            spec = plan_measurement(target, way, beside)
            if target.result.id in spec.settings.to:
                continue
            for other in beside:
                _check_same_workload(target, other)
            at = spec.settings.at
            weights = [target.weights(at), *(other.weights(other.at or at) for other in beside)]
            # A run's result and its last weights mean the same: the plan has it once.
            planned.setdefault((spec.id, spec.suite.name, spec.label), Planned(target, spec, weights))
    if not planned:
        raise UserError(f"--to {ways[0].to[0]}: is the run that is measured; accepted: another one")
    return [*planned.values()]


def _check_same_workload(target: Target, other: Target) -> None:
    for key in ("workload", "options", "data"):
        own, its = (each.result.settings.get(key) for each in (target, other))
        if own != its:
            raise UserError(f"--to {other.path}: {key} {its}, but {own} in {target.path}; accepted: the same")


def plan_measurement(
    target: Target, settings: SharpnessSettings, others: Sequence[Target] = ()
) -> RunSpec[SharpnessSettings]:
    """The spec that measures a target, alone or together with others; what the target says of its weights comes before
    what the settings say.
    """
    result, at = target.result, target.at or settings.at
    named = tuple(other.named(at) for other in others)
    return RunSpec(
        kind="sharpness",
        suite=result.suite,
        optimizer=result.optimizer,
        seed=result.seed,
        settings=settings.model_copy(update={"of": result.id, "at": at, "to": named}),
        data=result.settings.get("data"),
    )


def load_workload(target: Target, device: torch.device, data_dir: Path | None = None) -> Workload:
    """The workload of a training run on `device`; raises `UserError` when it is another one than then."""
    path, settings = target.path, target.result.settings
    name, trained = settings["workload"], settings["data"]
    workload = get_workload(name, str(path), data_dir, settings.get("options", {}))
    if (here := workload.identity()) != trained:
        versions = {text.partition(".")[2] for text in (here, trained)}
        what = "by another version of the code" if len(versions) > 1 else "on other data"
        raise UserError(f"{path}: was trained {what} than '{name}' is here: {trained}: accepted: {here}")
    workload.load(device)
    return workload


def measure(
    spec: RunSpec[SharpnessSettings],
    weights: Path,
    workload: Workload,
    device: torch.device,
    m: int,
    step_done: Callable[[], None] = lambda: None,
    others: Sequence[Path] = (),
) -> Measurement:
    """What the settings ask of the training loss at these weights, in evaluation mode; of a stream's last task.

    `m` is the batch size that the run was trained with, `others` are the weights of other runs. Raises `UserError`
    where these do not fit the model.
    """
    began = time.perf_counter()
    model = workload.model().to(device)
    solutions = []
    for path in others:
        _load(model, path)
        solutions.append([tensor.detach().clone() for tensor in weights_of(model)])
    epoch = _load(model, weights)
    last = workload.tasks_of_run(generator(spec.seed, TASKS))[-1]
    problem = Problem(model.eval(), last, m, step_done, solutions)
    found = measure_metric(problem, spec.settings)
    return Measurement(
        "failed" if found.error else "completed",
        metrics=found.metrics | {"epoch": epoch},
        curves=dict(found.curves),
        cost=Cost(wall_seconds=time.perf_counter() - began, steps=found.steps, gradient_evaluations=found.gradients),
        error=found.error,
    )


def _digest(path: Path) -> str:
    """Equal for equal weights."""
    found = hashlib.sha256()
    for name, tensor in checkpoint.load(path)["model"].items():
        found.update(name.encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _load(model: nn.Module, path: Path) -> int | None:
    """Puts the weights of a run into the model; the epoch that they are of."""
    content = checkpoint.load(path)
    try:
        model.load_state_dict(content["model"])
    except RuntimeError as error:
        raise UserError(f"{path}: weights of another model: {error}") from None
    epoch: int | None = content.get("epoch")
    return epoch
