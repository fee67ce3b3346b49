"""What is told of a run while it goes on, and what others may measure at the end of its epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from cmbench.experiments.execute import Progress
from cmbench.workloads.base import Task


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
