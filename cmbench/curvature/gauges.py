"""Sharpness while a model is trained: what the trainer measures at the end of every so many epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from cmbench.curvature.hessian import top_eigenvalue
from cmbench.curvature.m_sharpness import m_sharpness
from cmbench.curvature.measure import evaluation_batches, loss_hessian, loss_of
from cmbench.experiments.settings import TelemetrySettings
from cmbench.training.observer import Gauge
from cmbench.workloads.base import Task


def sharpness_gauges(telemetry: TelemetrySettings, batch_size: int) -> dict[str, Gauge]:
    """`top_eigenvalue` and `m_sharpness`, where `telemetry` asks for them, on the same training examples throughout.

    m is the `batch_size` of the training.
    """
    if telemetry.sharpness_every is None:
        return {}
    examples = telemetry.sharpness_examples
    measures: dict[str, Callable[[nn.Module, Task], float]] = {
        "top_eigenvalue": TopEigenvalue(examples),
        "m_sharpness": MSharpness(examples, batch_size),
    }
    return {name: Gauge(telemetry.sharpness_every, measure) for name, measure in measures.items()}


@dataclass(frozen=True)
class TopEigenvalue:
    """The largest eigenvalue of the Hessian of the mean loss over so many examples; NaN where it is not found."""

    examples: int

    def __call__(self, model: nn.Module, task: Task) -> float:
        found = top_eigenvalue(loss_hessian(model, task, self.examples, 1)[0])
        return found.value if found.converged else math.nan


@dataclass(frozen=True)
class MSharpness:
    """m-sharpness (Eq. 15) over so many examples in batches of m."""

    examples: int
    m: int

    def __call__(self, model: nn.Module, task: Task) -> float:
        m = min(self.m, self.examples)
        return m_sharpness(model, loss_of(task), evaluation_batches(task, m, -(-self.examples // m)))
