"""Runs in processes that somebody else starts, on this or other machines, who share the folder of the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from cmbench.errors import UserError
from cmbench.experiments.execute import Attempt, Engine, Record, failure
from cmbench.experiments.files import RESUME
from cmbench.experiments.lease import Leases
from cmbench.experiments.listener import Listener, Progress
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.settings import TrainSettings
from cmbench.training.engines.shared import Attempts, Groups
from cmbench.training.interrupt import Interrupt
from cmbench.training.observer import Observer
from cmbench.training.runner import Runner

POLL_SECONDS = 1.0

Spec = RunSpec[TrainSettings]


@dataclass(frozen=True)
class Ended:
    """What a process elsewhere says of its run: what became of it, None where it was not begun, and remarks.

    `error` is what the user can mend.
    """

    attempt: Attempt[TrainSettings] | None = None
    remarks: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Died:
    """A process elsewhere that has ended without a word, and what is known of why."""

    why: str
    details: str = ""


class Fleet(Protocol):
    """Processes elsewhere, each with one of the runs that were given to them."""

    def ended(self) -> Iterator[tuple[Spec, Ended | Died]]:
        """Those that have ended since this was asked before."""

    def cancel(self, runs: Collection[str]) -> None:
        """Ends the processes of these runs, which nobody has begun; called again and again."""


Launch = Callable[[Runner, Sequence[Spec]], AbstractContextManager[Fleet]]


def elsewhere(runner: Runner, launch: Launch) -> Engine[TrainSettings]:
    """The runs by a fleet, which gets the runner for its processes.

    When the runner's `interrupt` is requested, or one of the runs is asked to stop, the runs that have begun save a
    checkpoint, and the others are cancelled. A process that dies for good makes its run fail.
    """

    def engine(groups: Groups, listener: Listener, record: Record) -> Attempts:
        waiting = {spec.id: spec for members in groups for spec in members}
        told, wrong, interrupted = _Told(runner.leases, listener), None, False
        if not runner.resume:
            _forget_checkpoints(runner, waiting.values())
        with launch(replace(runner, resume=True, interrupt=Interrupt()), list(waiting.values())) as fleet:
            try:
                while waiting:
                    for spec, ended in fleet.ended():
                        del waiting[spec.id]
                        if isinstance(ended, Ended):
                            told.remarks(spec, ended.remarks)
                            wrong = wrong or ended.error
                            attempt = ended.attempt
                            interrupted |= attempt is None and not ended.error
                        elif found := runner.found(spec):  # it had said so in the folder
                            attempt = Attempt(spec, found)
                        elif interrupted or wrong:
                            attempt = None
                        else:
                            failed, _ = failure(RuntimeError(ended.why))
                            attempt = Attempt(spec, record(spec, failed), traceback=ended.details)
                        if attempt:
                            told.began(attempt)
                            interrupted |= attempt.how == "interrupted"
                            yield attempt
                    interrupted |= runner.interrupt.requested or runner.leases.stopping
                    begun = told.look(waiting)
                    if interrupted or wrong:
                        _stop(runner.leases, fleet, waiting, begun)
                    if waiting:
                        time.sleep(POLL_SECONDS)
            finally:
                if waiting:
                    _stop(runner.leases, fleet, waiting, told.look(waiting))
        if wrong:
            raise UserError(wrong)
        if interrupted:
            raise KeyboardInterrupt

    return engine


def _stop(leases: Leases, fleet: Fleet, waiting: Collection[str], begun: Collection[str]) -> None:
    for run in begun:
        leases.ask_to_stop(run)
    fleet.cancel([run for run in waiting if run not in begun])


def _forget_checkpoints(runner: Runner, specs: Collection[Spec]) -> None:
    """Here, once: a process that is started again goes on from its own."""
    for spec in specs:
        if not runner.leases.is_held(spec.id):
            runner.store.path(spec, RESUME).unlink(missing_ok=True)


class _Told:
    """What the listener is told of runs in other processes, by their leases."""

    def __init__(self, leases: Leases, listener: Listener) -> None:
        self._leases, self._listener = leases, listener
        self._begun: set[str] = set()

    def look(self, waiting: Mapping[str, Spec]) -> list[str]:
        """Tells how far they are, and returns those that somebody is at."""
        live = {run: held.record for run, held in self._leases.all().items() if held.is_live and run in waiting}
        for run, record in live.items():
            if record.total_steps is not None:
                self._begin(waiting[run])
                self._listener.progress(waiting[run], Progress(record.step, record.total_steps))
        return list(live)

    def began(self, attempt: Attempt[TrainSettings]) -> None:
        """Nothing ends that has not begun."""
        if attempt.result and attempt.how != "found":
            self._begin(attempt.spec)

    def remarks(self, spec: Spec, remarks: Sequence[str]) -> None:
        """What its process has remarked."""
        for remark in remarks:
            self._begin(spec)
            self._listener.remark(spec, remark)

    def _begin(self, spec: Spec) -> None:
        if spec.id not in self._begun:
            self._begun.add(spec.id)
            self._listener.started(spec)


# In a process elsewhere


def work(runner: Runner, spec: Spec, threads: int, interrupt: Interrupt) -> Ended:
    """Trains the run in this process, unless another one is at it."""
    torch.set_num_threads(threads)
    remarks = _Remarks()
    try:
        attempt = replace(runner, interrupt=interrupt)(spec, remarks)
    except UserError as error:
        return Ended(error=str(error))
    except KeyboardInterrupt:
        return Ended()
    return Ended(attempt, tuple(remarks.texts))


class _Remarks(Observer):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def remark(self, text: str) -> None:
        self.texts.append(text)
