"""One training run, from taking its lease to storing its result, in whatever process it is called."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from cmbench.errors import UserError
from cmbench.experiments.execute import Attempt, failure
from cmbench.experiments.files import RESUME
from cmbench.experiments.lease import Lease, LeaseLost, Leases
from cmbench.experiments.listener import Listener, Progress
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.record import Measurement, Recorder
from cmbench.experiments.result import Result
from cmbench.experiments.settings import TelemetrySettings, TrainSettings
from cmbench.experiments.store import ResultStore
from cmbench.training.interrupt import Either, Interrupt
from cmbench.training.observer import Gauges, Observer, no_gauges
from cmbench.training.processes import ALONE, Processes
from cmbench.training.tracking.base import Conclusion, Tracked, settings_of
from cmbench.training.tracking.feed import Told, Trackers
from cmbench.training.trainer import train
from cmbench.workloads.base import Workload


@dataclass
class Runner:
    """Trains specs of `workload`, whose data is loaded before the first of them, unless it is, and not without any.

    In another process `make` makes the workload anew: one of a user's file is not to be found there by its class.

    With `force`, a stored result does not count; with `resume`, a checkpoint does.

    A run that is asked for after `interrupt` was requested raises `KeyboardInterrupt`. Where several processes train
    each run together, an exception ends this one: the others wait for it, and `torchrun` ends them.
    """

    workload: Workload
    make: Callable[[], Workload]
    device: torch.device
    store: ResultStore
    leases: Leases
    force: bool = False
    resume: bool = True
    gauges: Gauges = no_gauges
    trackers: Trackers = field(default_factory=Trackers)
    processes: Processes = ALONE
    interrupt: Interrupt = field(default_factory=Interrupt)

    def __call__(self, spec: RunSpec[TrainSettings], observer: Observer) -> Attempt[TrainSettings]:
        """What becomes of the run; no result where another process is at it."""
        self.stop_if_interrupted()
        lease = self.leases.take(spec, str(self.device)) if self.processes.is_main_process else None
        if not self.processes.broadcast(lease is not None):
            return Attempt(spec, None)
        with lease or nullcontext():
            if found := self.found(spec):
                attempt = Attempt(spec, found, "found")
            else:
                self.workload.load_once(self.device)
                self.stop_if_interrupted()
                try:
                    with self._told(spec, observer) as told:
                        attempt = self._train(spec, Several(observer, *told.feeds), lease)
                        told.conclusion = Conclusion.of(attempt.result) if attempt.result else None
                except LeaseLost:
                    return Attempt(spec, None)
            if lease:
                lease.finished = attempt.result is not None and attempt.result.finished
        return attempt

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "workload": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.workload = self.make()

    def stop_if_interrupted(self) -> None:
        """Raises `KeyboardInterrupt` where the plan shall stop; every process must call it."""
        if any(self.processes.gather(self.interrupt.requested or self.leases.stopping)):
            raise KeyboardInterrupt

    def found(self, spec: RunSpec[TrainSettings]) -> Result | None:
        """The final result that another process has stored in the meantime, for this suite and label or others."""
        if self.force:
            return None
        found = self.store.find_whole(spec)
        if found and spec.is_finished_by(found):
            return found
        equal = self.store.find_equal(spec, anew=True)
        return self._recorder.take_over(spec, equal) if equal else None

    @property
    def _recorder(self) -> Recorder:
        return Recorder(self.store, str(self.device))

    def _train(self, spec: RunSpec[TrainSettings], observer: Observer, lease: Lease | None) -> Attempt[TrainSettings]:
        trace = ""
        try:
            measured = self._measured(self._with_earlier_telemetry(spec), observer, lease)
        except (UserError, LeaseLost):
            raise
        except Exception as error:
            if self.processes.size > 1:
                traceback.print_exc()
                raise SystemExit(3) from None
            measured, trace = failure(error)
        if lease:
            lease.verify()
        result = self._recorder.record(spec, measured)
        stopped = self.interrupt.requested or bool(lease and lease.stop_requested)
        interrupted = result.status == "interrupted" and any(self.processes.gather(stopped))
        return Attempt(spec, result, "interrupted" if interrupted else "ran", trace)

    def _measured(self, spec: RunSpec[TrainSettings], observer: Observer, lease: Lease | None) -> Measurement:
        return train(
            spec,
            self.workload,
            self.device,
            partial(self.store.path, spec),
            processes=self.processes,
            resume=self.resume,
            observer=Several(observer, *([_Noted(lease)] if lease else ())),
            gauges=self.gauges,
            interrupt=Either(self.interrupt, _Asked(lease)) if lease else self.interrupt,
            verify=lease.verify if lease else lambda: None,
        )

    def _told(self, spec: RunSpec[TrainSettings], observer: Observer) -> AbstractContextManager[Told]:
        settings = settings_of(spec, str(self.device), self.processes.size)
        resumes = self.resume and self.store.path(spec, RESUME).exists()
        return self.trackers.told(Tracked(spec, settings, resumes), observer.remark, self.processes)

    def _with_earlier_telemetry(self, spec: RunSpec[TrainSettings]) -> RunSpec[TrainSettings]:
        """What is run again for more telemetry than its result has records what that has too: neither asks again."""
        earlier = None if self.force else self.store.find_whole(spec)
        if earlier is None or not earlier.finished or spec.telemetry is None:
            return spec
        recorded = TelemetrySettings.of_environment(earlier.environment)
        return spec.model_copy(update={"telemetry": spec.telemetry.together_with(recorded)})


class Several(Observer):
    """Observers that all hear the same; each may stop the run."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def started(self, step: int, total_steps: int) -> None:
        for observer in self._observers:
            observer.started(step, total_steps)

    def progress(self, now: Progress) -> None:
        for observer in self._observers:
            observer.progress(now)

    def epoch_done(self, step: int, epoch: int, values: Mapping[str, float | None]) -> bool:
        answers = [observer.epoch_done(step, epoch, values) for observer in self._observers]
        return any(answers)

    def remark(self, text: str) -> None:
        for observer in self._observers:
            observer.remark(text)


class Heard(Observer):
    """What a listener in this process hears of a run."""

    def __init__(self, spec: RunSpec, listener: Listener) -> None:
        self._spec, self._listener = spec, listener

    def started(self, step: int, total_steps: int) -> None:
        self._listener.started(self._spec)

    def progress(self, now: Progress) -> None:
        self._listener.progress(self._spec, now)

    def epoch_done(self, step: int, epoch: int, values: Mapping[str, float | None]) -> bool:
        return self._listener.epoch_done(self._spec, epoch, values)

    def remark(self, text: str) -> None:
        self._listener.remark(self._spec, text)


class _Noted(Observer):
    """Writes into the lease how far the run is."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def started(self, step: int, total_steps: int) -> None:
        self._lease.began(step, total_steps)

    def progress(self, now: Progress) -> None:
        self._lease.note(now.step)


class _Asked(Interrupt):
    """Requested where somebody asks for the run to stop."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    @property
    def requested(self) -> bool:
        return self._lease.stop_requested
