"""What is told of a run while it goes on, and what others may measure at the end of its epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from cmbench.workloads.base import Task


@dataclass(frozen=True)
class Progress:
    """Where a run is: steps done of all, the latest loss that was read, the last validation metric."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float
    metric: float | None


class Observer:
    """Hears how a run goes on; this one stays silent."""

    def progress(self, now: Progress) -> None:
        """About twice a second."""

    def epoch_done(self, step: int, values: Mapping[str, float | None]) -> None:
        """An epoch has ended after `step` steps; `values` is what it adds to the run's curves."""


@dataclass(frozen=True)
class Gauge:
    """Something to be measured at the end of every so many epochs.

    `measure` gets the model, in evaluation mode, and what it is trained on. It may draw random numbers.
    """

    every_epochs: int
    measure: Callable[[nn.Module, Task], float]
