"""The learning rate of every step of a training run, by a schedule's factors or a scheduler class of torch's kind."""

from __future__ import annotations

import inspect
import warnings
from itertools import accumulate, pairwise
from typing import Any, Protocol

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cmbench.errors import UserError
from cmbench.experiments.schedule import Schedule
from cmbench.plugins.resolve import find
from cmbench.training.learner import Learner
from cmbench.training.position import Length

_TOTALS = ("total_steps", "T_max")
"""Arguments of torch's classes that are the number of steps of the run."""


class Rate(Protocol):
    """Sets the learning rate."""

    def before(self, step: int, epoch: int) -> None:
        """Called before a step, after `step` steps and `epoch` whole epochs of the run."""

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on from here."""

    def load(self, state: dict[str, Any]) -> None:
        """Takes up what `state` has returned."""


def rate_of(schedule: Schedule, learner: Learner, length: Length) -> Rate:
    """What sets the learning rate of `learner`; raises `UserError` for a class that is no scheduler for it."""
    return ClassRate(schedule, learner, length.steps) if schedule.is_class else FactorRate(schedule, learner, length)


class FactorRate:
    """The factors of a named schedule, which begins anew with every task of a stream."""

    def __init__(self, schedule: Schedule, learner: Learner, length: Length) -> None:
        self._schedule, self._learner, self._factor = schedule, learner, float("nan")
        self._epochs = length.epochs // len(length.steps_per_epoch)
        ends = [0, *accumulate(self._epochs * steps for steps in length.steps_per_epoch)]
        self._begin = ends[:-1]
        self._steps = [min(end, length.steps) - begin for begin, end in pairwise(ends)]

    def before(self, step: int, epoch: int) -> None:
        task, epoch_of_task = divmod(epoch, self._epochs)
        factor = self._schedule.factor(step - self._begin[task], self._steps[task], epoch_of_task)
        if factor != self._factor:
            self._factor = factor
            self._learner.set_lr(factor)

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Every factor follows from its step alone."""


class ClassRate:
    """A scheduler class, made for the run's optimizer and stepped once for each of the run's `steps`."""

    def __init__(self, schedule: Schedule, learner: Learner, steps: int) -> None:
        made, where = _scheduler_class(schedule.name), f"schedule: '{schedule.name}'"
        known = [name for name in inspect.signature(made).parameters if name not in ("optimizer", "last_epoch")]
        if unknown := [name for name in schedule.options if name not in known]:
            raise UserError(f"{where}: unknown argument '{unknown[0]}': accepted: {', '.join(known)}")
        totals = {name: steps for name in _TOTALS if name in known}
        if "epochs" in schedule.options:  # the class multiplies its own total
            totals = {}
        try:
            self._scheduler: LRScheduler = made(learner.optimizer, **totals | schedule.options)
        except Exception as error:  # a class of the user's may raise anything
            raise UserError(f"{where}: {type(error).__name__}: {error}") from None

    def before(self, step: int, epoch: int) -> None:
        with warnings.catch_warnings():
            # The steps before a checkpoint were made by another optimizer, as torch sees it.
            warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler\.step")
            while self._scheduler.last_epoch < step:
                self._scheduler.step()

    def state(self) -> dict[str, Any]:
        return self._scheduler.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        self._scheduler.load_state_dict(state)


def _scheduler_class(path: str) -> type[LRScheduler]:
    """The scheduler class of that path, `package.module:Class`."""
    found = find(path, "schedulers", "schedule").value
    if not (isinstance(found, type) and issubclass(found, LRScheduler)) or issubclass(found, ReduceLROnPlateau):
        raise UserError(f"schedule: '{path}': accepted: a subclass of LRScheduler that is stepped without a metric")
    return found
