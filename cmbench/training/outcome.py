"""What comes out of a training run: its measurement, from where it ended."""

from __future__ import annotations

import resource
import sys
from functools import reduce

import torch
from torch.optim import Optimizer

from cmbench.experiments.record import Measurement
from cmbench.experiments.result import Cost, JudgedBy
from cmbench.experiments.settings import TelemetrySettings
from cmbench.optim.sharded import local
from cmbench.optim.wrapper import state_tensors
from cmbench.training.epoch_end import known, mean
from cmbench.training.learner import Learner
from cmbench.training.position import Ending, Position
from cmbench.workloads.base import Workload


def measurement(
    workload: Workload, learner: Learner, position: Position, ending: Ending, telemetry: TelemetrySettings, whole: bool
) -> Measurement:
    """The measurement of a run that ends at `position`; `whole` says that it has gone through all of its epochs."""
    cost = Cost(
        wall_seconds=position.wall_seconds,
        evaluation_seconds=position.evaluation_seconds,
        telemetry_seconds=position.telemetry_seconds,
        steps=position.step,
        gradient_evaluations=position.gradient_evaluations,
        peak_memory_bytes=_peak_memory(learner.device),
        optimizer_state_bytes=_state_bytes(learner.optimizer),
    )
    return Measurement(
        ending.status,
        judged_by=JudgedBy(
            metric=workload.metric.name, better="higher" if workload.metric.higher_is_better else "lower"
        ),
        metrics=_metrics(workload, position, whole) if position.curves else {},
        curves=position.curves,
        cost=cost,
        error=ending.error,
        diverged_step=ending.diverged_step,
        environment={"threads": torch.get_num_threads(), "processes": learner.processes.size}
        | ({"data_subset": dict(subset)} if (subset := workload.subset()) else {})
        | ({} if workload.published else {"data_published": False})
        | ({"implementation": how} if (how := learner.implementation) else {})
        | ({"telemetry": recorded} if (recorded := telemetry.document()) else {}),
    )


def _metrics(workload: Workload, position: Position, whole: bool) -> dict[str, float | None]:
    curves, metric = position.curves, workload.metric.name
    metrics = {"train_loss_final": curves["train_loss"][-1], "distance": curves["distance"][-1]}
    names = [name for name in (metric, f"{metric}_average") if known(curves.get(f"val_{name}", []))]
    if len(workload.tasks) > 1:
        # What the model was worth on each task at the end of its training on it (section 5.4).
        at_end = {name: dict(zip(curves["task"], curves[f"val_{name}"], strict=True)) for name in names if whole}
        return metrics | {f"learning_{name}": mean(known(values.values())) for name, values in at_end.items()}
    for name in names:
        values = known(curves[f"val_{name}"])
        best = reduce(lambda best, value: value if workload.metric.better(value, best) else best, values)
        metrics |= {f"val_{name}_best": best, f"val_{name}_final": values[-1]}
    return metrics | {"epoch_best": position.best_epoch}


def _peak_memory(device: torch.device) -> int:
    """Of the device where it keeps count, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _state_bytes(optimizer: Optimizer) -> int:
    """Bytes of all tensors in the optimizer's state, in this process; one that several parameters share counts once."""
    return sum(local(value).numel() * value.element_size() for value in state_tensors(optimizer))
