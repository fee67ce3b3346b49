"""Measurements of finished training runs, each a result of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from cmbench.curvature.metrics import Problem, measure_metric
from cmbench.curvature.targets import Target
from cmbench.errors import UserError
from cmbench.experiments.execute import Outcome, execute, in_turn
from cmbench.experiments.listener import Listener
from cmbench.experiments.measurements import SharpnessSettings
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.record import Measurement
from cmbench.experiments.result import Cost
from cmbench.experiments.seeding import TASKS, generator
from cmbench.experiments.store import ResultStore
from cmbench.experiments.text import canonical
from cmbench.training import checkpoint
from cmbench.workloads.base import Workload
from cmbench.workloads.registry import get_workload


def measure_runs(
    targets: Sequence[Target],
    ways: Sequence[SharpnessSettings],
    out: Path,
    device: torch.device,
    *,
    force: bool = False,
    data_dir: Path | None = None,
    listener: Listener | None = None,
    product_done: Callable[[], None] = lambda: None,
) -> Outcome:
    """Measures every target in each of the ways; the results lie beside the runs, or in `out`.

    Raises `UserError` before anything is measured when one of the targets cannot be.
    """
    # A run's result and its last weights mean the same: the plan has it once.
    planned = {
        (spec.id, spec.suite.name, spec.label): (target, spec)
        for target in targets
        for spec in (plan_measurement(target, settings) for settings in ways)
    }
    weights = {spec.id: (target, target.weights(spec.settings.at)) for target, spec in planned.values()}
    workloads: dict[str, Workload] = {}

    def run(specs: Sequence[RunSpec[SharpnessSettings]]) -> Iterator[Measurement]:
        for spec in specs:
            target, path = weights[spec.id]
            trained = target.result.settings
            name = canonical([trained["workload"], trained.get("options")])
            if name not in workloads:
                workloads[name] = load_workload(target, device, data_dir)
            yield measure(spec, path, workloads[name], device, trained["batch_size"], product_done)

    by_root: dict[Path, list[RunSpec[SharpnessSettings]]] = {}
    for target, spec in planned.values():
        by_root.setdefault(target.root(out).absolute(), []).append(spec)
    outcomes = [
        execute(specs, ResultStore(root), in_turn(run), force=force, device=str(device), listener=listener)
        for root, specs in by_root.items()
    ]
    results = [result for outcome in outcomes for result in outcome.results]
    return Outcome(results, sum(outcome.skipped for outcome in outcomes), [spec for _, spec in planned.values()])


def plan_measurement(target: Target, settings: SharpnessSettings) -> RunSpec[SharpnessSettings]:
    """The spec that measures a target; what the target says of its weights comes before what the settings say."""
    result = target.result
    return RunSpec(
        kind="sharpness",
        suite=result.suite,
        optimizer=result.optimizer,
        seed=result.seed,
        settings=settings.model_copy(update={"of": result.id, "at": target.at or settings.at}),
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
    product_done: Callable[[], None] = lambda: None,
) -> Measurement:
    """What the settings ask of the training loss at these weights, in evaluation mode; of a stream's last task.

    `m` is the batch size that the run was trained with.
    """
    began = time.perf_counter()
    model = workload.model()
    content = checkpoint.load(weights)
    model.load_state_dict(content["model"])
    last = workload.tasks_of_run(generator(spec.seed, TASKS))[-1]
    problem = Problem(model.to(device).eval(), last, m, product_done)
    found = measure_metric(problem, spec.settings)
    return Measurement(
        "failed" if found.error else "completed",
        metrics=found.metrics | {"epoch": content.get("epoch")},
        curves=dict(found.curves),
        cost=Cost(wall_seconds=time.perf_counter() - began, steps=found.steps, gradient_evaluations=found.gradients),
        error=found.error,
    )
