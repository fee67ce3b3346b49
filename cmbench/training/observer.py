"""What is told of a run while it goes on, and what others may measure at the end of its epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from cmbench.experiments.listener import Progress
from cmbench.experiments.settings import TelemetrySettings
from cmbench.training.processes import Processes
from cmbench.workloads.base import Task


class Observer:
    """Hears how a run goes on; this one stays silent."""

    def started(self, step: int, total_steps: int) -> None:
        """It begins, or goes on from a checkpoint at `step`."""

    def progress(self, now: Progress) -> None:
        """About twice a second."""

    def epoch_done(self, step: int, epoch: int, values: Mapping[str, float | None]) -> bool:
        """Epoch number `epoch` has ended after `step` steps in all; `values` is what it adds to the run's curves.

        True stops the run, with a checkpoint.
        """
        return False

    def remark(self, text: str) -> None:
        """Something that whoever has started the run should know."""


@dataclass(frozen=True)
class Gauge:
    """Something to be measured at the end of every so many epochs.

    `measure` gets the model, in evaluation mode, what it is trained on, and the processes that call it together. It may
    draw random numbers.
    """

    every_epochs: int
    measure: Callable[[nn.Module, Task, Processes], float]


Gauges = Callable[[TelemetrySettings, int], Mapping[str, Gauge]]
"""The gauges that telemetry asks for, by the names of their curves; the second argument is the batch size."""


def no_gauges(telemetry: TelemetrySettings, batch_size: int) -> dict[str, Gauge]:
    """None of them."""
    return {}
