"""The sharpness of a finished training run: from its result file to the largest eigenvalue at its weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from cmbench.curvature.hessian import Hessian, top_eigenvalue, weighted
from cmbench.errors import MissingResults, UserError
from cmbench.experiments.execute import Outcome, execute, in_turn
from cmbench.experiments.files import WEIGHTS
from cmbench.experiments.listener import Listener
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.record import Measurement
from cmbench.experiments.result import Cost, Result
from cmbench.experiments.seeding import TASKS, generator
from cmbench.experiments.settings import SharpnessSettings
from cmbench.experiments.store import ResultStore
from cmbench.experiments.text import canonical
from cmbench.training import checkpoint
from cmbench.workloads.base import Batch, Task, Workload
from cmbench.workloads.registry import get_workload


def measure_runs(
    paths: Sequence[Path],
    settings: SharpnessSettings,
    device: torch.device,
    *,
    force: bool = False,
    data_dir: Path | None = None,
    listener: Listener | None = None,
    product_done: Callable[[], None] = lambda: None,
) -> tuple[Outcome, list[Result]]:
    """Measures the training runs in the result files `paths`, each stored beside its run; returns also the runs.

    Earlier measurements among the files, which lie where the runs lie, are passed over. Raises `UserError` before
    anything is measured when one of the others cannot be, or when there is no other.
    """
    runs = [(path, result) for path in paths if (result := ResultStore.read(path)).kind != "sharpness"]
    if not runs:
        raise UserError(f"{paths[0]}: measurements alone are given; accepted: results of completed training runs")
    planned = [(path, result, plan_measurement(path, result, settings)) for path, result in runs]
    workloads: dict[str, Workload] = {}
    stores: dict[Path, ResultStore] = {}
    results, skipped = [], 0
    for path, result, spec in planned:

        def run(
            _: Sequence[RunSpec], path: Path = path, result: Result = result, spec: RunSpec[SharpnessSettings] = spec
        ) -> list[Measurement]:
            name = canonical([result.settings["workload"], result.settings.get("options")])
            if name not in workloads:
                workloads[name] = load_workload(result, path, device, data_dir)
            return [measure(spec, path, workloads[name], device, product_done)]

        root = path.resolve().parents[2]
        store = stores.setdefault(root, ResultStore(root))
        outcome = execute([spec], store, in_turn(run), force=force, device=str(device), listener=listener)
        results += outcome.results
        skipped += outcome.skipped
    return Outcome(results, skipped, [spec for *_, spec in planned]), [result for _, result in runs]


def completed_runs(out: Path, suite: str, opts: Sequence[str] = ()) -> list[Path]:
    """The result files of completed training runs of `suite`; only of `opts`, labels or names, where there are any.

    Raises `MissingResults` where there are none.
    """
    found = [
        path
        for path, result in ResultStore(out).results(suite)
        if result.kind == "train"
        and result.status == "completed"
        and (not opts or {result.label, result.optimizer and result.optimizer.name} & {*opts})
    ]
    if not found:
        raise MissingResults(f"no completed run of '{suite}' in {out}: cmbench train --suite {suite}")
    return found


def plan_measurement(path: Path, result: Result, settings: SharpnessSettings) -> RunSpec[SharpnessSettings]:
    """The spec that measures the finished training run in `path`; raises `UserError` where there is none to measure."""
    if result.kind != "train" or result.status != "completed":
        raise UserError(f"{path}: a {result.kind} run that is {result.status}; accepted: a completed training run")
    if not path.with_suffix(WEIGHTS).exists():
        raise UserError(f"{path.with_suffix(WEIGHTS)}: the weights of this run are gone")
    return RunSpec(
        kind="sharpness",
        suite=result.suite,
        optimizer=result.optimizer,
        seed=result.seed,
        settings=settings.model_copy(update={"of": result.id}),
        data=result.settings.get("data"),
    )


def load_workload(result: Result, path: Path, device: torch.device, data_dir: Path | None = None) -> Workload:
    """The workload of a training run on `device`; raises `UserError` when it is another one than then."""
    name, trained = result.settings["workload"], result.settings["data"]
    workload = get_workload(name, str(path), data_dir, result.settings.get("options", {}))
    if (here := workload.identity()) != trained:
        versions = {text.partition(".")[2] for text in (here, trained)}
        what = "by another version of the code" if len(versions) > 1 else "on other data"
        raise UserError(f"{path}: was trained {what} than '{name}' is here: {trained}: accepted: {here}")
    workload.load(device)
    return workload


def evaluation_batches(task: Task, batch_size: int, batches: int | None = None) -> list[tuple[Batch, float]]:
    """So many training batches (all if None) with their weights: always the same ones, not augmented."""
    every = task.batches(batch_size, generator(0, "sharpness"), augment=False)
    return weighted(islice(every, batches), lambda batch: batch.targets.numel())


def loss_of(task: Task) -> Callable[[nn.Module, Batch], Tensor]:
    """The mean loss of a model on a batch."""
    return lambda model, batch: task.loss(model, batch, None)[0]


def loss_hessian(model: nn.Module, task: Task, batch_size: int, batches: int | None = None) -> tuple[Hessian, int]:
    """The Hessian of the mean training loss over `evaluation_batches`, and the number of these."""
    chosen = evaluation_batches(task, batch_size, batches)
    return Hessian(model, loss_of(task), chosen), len(chosen)


def measure(
    spec: RunSpec[SharpnessSettings],
    path: Path,
    workload: Workload,
    device: torch.device,
    product_done: Callable[[], None] = lambda: None,
) -> Measurement:
    """The largest eigenvalue of the Hessian of the mean training loss, in evaluation mode; of a stream's last task."""
    began = time.perf_counter()
    settings = spec.settings
    model = workload.model()
    model.load_state_dict(checkpoint.load(path.with_suffix(WEIGHTS))["model"])
    model = model.to(device).eval()
    last = workload.tasks_of_run(generator(spec.seed, TASKS))[-1]
    hessian, batches = loss_hessian(model, last, settings.batch_size, settings.batches)
    found = top_eigenvalue(
        hessian, iterations=settings.iterations, tolerance=settings.tolerance, product_done=product_done
    )
    cost = Cost(
        wall_seconds=time.perf_counter() - began,
        steps=found.products,
        gradient_evaluations=found.products * batches * 2,
    )
    metrics: dict[str, float | None] = {
        "top_eigenvalue": found.value,
        "residual": found.residual,
        "converged": float(found.converged),
    }
    if not found.converged:
        return Measurement("failed", metrics=metrics, cost=cost, error="the eigenvalue did not converge")
    return Measurement("completed", metrics=metrics, cost=cost)
