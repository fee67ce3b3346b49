"""Where a run is, of how long a way, since when, and why it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ConfigDict

from cmbench.experiments.result import Status
from cmbench.experiments.settings import TrainSettings
from cmbench.workloads.base import Task


@dataclass
class Position:
    """Everything that changes during a run besides tensors: what a checkpoint keeps beside them."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    gradient_evaluations: int = 0
    best: float | None = None
    best_epoch: int = 0
    wall_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    telemetry_seconds: float = 0.0
    rows: list[list[float]] = field(default_factory=list)
    """Loss, and gradient norm where it is recorded, of this epoch's steps."""
    curves: dict[str, list[float | None]] = field(default_factory=dict)

    def check(self) -> None:
        """Raises `ValueError` where its parts cannot be of one moment."""
        lengths = {len(curve) for curve in self.curves.values()} or {0}
        counts = (self.epoch, self.step_in_epoch, self.step, self.gradient_evaluations, self.best_epoch)
        if min(counts) < 0 or len(self.rows) != self.step_in_epoch or lengths != {self.epoch} or not all(self.rows):
            raise ValueError(f"a position that is none: epoch {self.epoch}, step {self.step}")


@dataclass(frozen=True)
class Length:
    """How long a run is: the steps of an epoch on each task, the epochs on all of them, and the steps until its end."""

    steps_per_epoch: tuple[int, ...]
    epochs: int
    steps: int
    whole: bool
    """Whether it ends with the last epoch, not at `max_steps` before it."""

    @classmethod
    def of(cls, settings: TrainSettings, tasks: Sequence[Task]) -> Length:
        """The length of a run with these settings on these tasks, one after the other."""
        steps = tuple(task.steps_per_epoch(settings.batch_size) for task in tasks)
        every = settings.epochs * sum(steps)
        limit = settings.max_steps or sys.maxsize
        return cls(steps, settings.epochs * len(tasks), min(every, limit), every <= limit)


class Clock:
    """Seconds that a run has taken, with those before it was stopped and taken up again."""

    def __init__(self, earlier: float) -> None:
        self._earlier, self._began = earlier, time.perf_counter()

    @property
    def seconds(self) -> float:
        """So far."""
        return self._earlier + time.perf_counter() - self._began


@dataclass(frozen=True)
class Ending:
    """Why a run ends, at which step it diverged."""

    status: Status
    error: str | None = None
    diverged_step: int | None = None
