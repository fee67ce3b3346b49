"""Sharpness while a model is trained: what the trainer measures at the end of every so many epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from cmbench.curvature.eigenvalues import top_eigenvalue
from cmbench.curvature.m_sharpness import m_sharpness
from cmbench.curvature.problem import evaluation_batches, loss_hessian, loss_of
from cmbench.experiments.settings import TelemetrySettings
from cmbench.training.observer import Gauge
from cmbench.training.processes import Processes
from cmbench.workloads.base import Task

_TOGETHER = 500
"""Examples whose second derivative is in memory at a time."""


def sharpness_gauges(telemetry: TelemetrySettings, batch_size: int) -> dict[str, Gauge]:
    """`top_eigenvalue` and `m_sharpness`, where `telemetry` asks for them, on the same training examples throughout.

    m is the `batch_size` of the training. Every measurement begins anew, from the same random vectors: a run that goes
    on from a checkpoint measures what it would have measured.
    """
    if telemetry.sharpness_every is None:
        return {}
    examples = telemetry.sharpness_examples
    measures: dict[str, Callable[[nn.Module, Task, Processes], float]] = {
        "top_eigenvalue": TopEigenvalue(examples),
        "m_sharpness": AscentSharpness(examples, batch_size),
    }
    return {name: Gauge(telemetry.sharpness_every, measure) for name, measure in measures.items()}


@dataclass(frozen=True)
class TopEigenvalue:
    """The largest eigenvalue of the Hessian of the mean loss over so many examples; NaN where it is not found."""

    examples: int

    def __call__(self, model: nn.Module, task: Task, processes: Processes) -> float:
        hessian, _ = loss_hessian(model, task, min(self.examples, _TOGETHER), self.examples, processes)
        value = top_eigenvalue(hessian).value
        return math.nan if value is None else value


@dataclass(frozen=True)
class AscentSharpness:
    """m-sharpness (Eq. 15) by one step of ascent, over so many examples in batches of m."""

    examples: int
    m: int

    def __call__(self, model: nn.Module, task: Task, processes: Processes) -> float:
        batches = evaluation_batches(task, min(self.m, self.examples), self.examples)
        own = batches[processes.rank :: processes.size]
        share = m_sharpness(model, loss_of(task), own).value if own else 0.0
        like = next(model.parameters())
        return processes.all_reduce(torch.tensor(share, device=like.device)).item()
