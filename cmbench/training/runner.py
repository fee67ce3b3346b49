"""Runs of one workload, one after the other in this process or several processes at once."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from cmbench.errors import UserError
from cmbench.experiments.execute import Attempt, Engine, Listener, Measurement, Progress, failure, in_turn
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.settings import TrainSettings
from cmbench.experiments.store import ResultStore
from cmbench.training.interrupt import Interrupt
from cmbench.training.observer import Gauge, Observer
from cmbench.training.processes import ALONE, Processes
from cmbench.training.tensorboard import TensorBoard
from cmbench.training.trainer import train
from cmbench.workloads.base import Workload


@dataclass
class Runner:
    """Trains specs of `workload`, whose data is loaded before the first of them, unless it is, and not without any.

    In another process `make` makes the workload anew: one of a user's file is not to be found there by its class.

    A run that is asked for after `interrupt` was requested raises `KeyboardInterrupt`. Where several processes train
    each run together, an exception ends this one: the others wait for it, and `torchrun` ends them.
    """

    workload: Workload
    make: Callable[[], Workload]
    device: torch.device
    store: ResultStore
    force: bool = False
    gauges: Mapping[str, Gauge] = field(default_factory=dict)
    tensorboard: Path | None = None
    processes: Processes = ALONE
    interrupt: Interrupt = field(default_factory=Interrupt)

    def __call__(self, spec: RunSpec[TrainSettings], observer: Observer) -> Measurement:
        self._stop_if_interrupted()
        self.workload.load_once(self.device)
        self._stop_if_interrupted()
        try:
            return self._train(spec, observer)
        except UserError:
            raise
        except Exception:
            if self.processes.size == 1:
                raise
            traceback.print_exc()
            raise SystemExit(3) from None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "workload": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.workload = self.make()

    def _stop_if_interrupted(self) -> None:
        if any(self.processes.gather(self.interrupt.requested)):
            raise KeyboardInterrupt

    def _train(self, spec: RunSpec[TrainSettings], observer: Observer) -> Measurement:
        board = TensorBoard(self.tensorboard, spec) if self.tensorboard and self.processes.is_main_process else None
        try:
            return train(
                spec,
                self.workload,
                self.device,
                lambda suffix: self.store.path(spec, suffix),
                processes=self.processes,
                force=self.force,
                observer=_Both(observer, board) if board else observer,
                gauges=self.gauges,
                interrupt=self.interrupt,
            )
        finally:
            if board:
                board.close()


class _Both(Observer):
    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def progress(self, now: Progress) -> None:
        for observer in self._observers:
            observer.progress(now)

    def epoch_done(self, step: int, values: Mapping[str, float | None]) -> None:
        for observer in self._observers:
            observer.epoch_done(step, values)


def one_by_one(runner: Runner, listener: Listener) -> Engine[TrainSettings]:
    """The runs one after the other in this process; `listener` hears how each goes on."""
    return in_turn(lambda members: [runner(spec, _Heard(spec, listener)) for spec in members])


class _Heard(Observer):
    def __init__(self, spec: RunSpec, listener: Listener) -> None:
        self._spec, self._listener = spec, listener

    def progress(self, now: Progress) -> None:
        self._listener.progress(self._spec, now)


def at_once(runner: Runner, jobs: int, threads: int) -> Engine[TrainSettings]:
    """The runs in `jobs` processes of `threads` threads each.

    When the runner's `interrupt` is requested, every run saves a checkpoint; what has ended by then is kept. A process
    that dies makes its run fail, and those that ran beside it, which go on from their checkpoints when they are run
    again. Raises `UserError` when processes die before they have begun anything.
    """

    def engine(
        groups: Sequence[Sequence[RunSpec[TrainSettings]]], listener: Listener
    ) -> Iterator[Attempt[TrainSettings]]:
        waiting = dict(enumerate(spec for members in groups for spec in members))
        interrupted = False
        while waiting and not runner.interrupt.requested:
            pool = _Pool(runner, min(jobs, len(waiting)), threads, waiting, listener)
            try:
                for attempt in pool.attempts(runner.interrupt):
                    interrupted |= attempt.measurements[0].status == "interrupted"
                    yield attempt
            finally:
                pool.close()
            if waiting and not pool.begun and not runner.interrupt.requested:
                raise UserError(f"--jobs {jobs}: the processes end before they begin a run (out of memory?)")
        if waiting or interrupted:
            raise KeyboardInterrupt

    return engine


class _Pool:
    """Worker processes until one of them dies; what they finish is taken from `waiting`."""

    def __init__(
        self,
        runner: Runner,
        jobs: int,
        threads: int,
        waiting: dict[int, RunSpec[TrainSettings]],
        listener: Listener,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.begun: set[int] = set()
        self._waiting, self._listener = waiting, listener
        self._messages, self._stop = context.Queue(), context.Event()
        arguments = (replace(runner, interrupt=Interrupt()), threads, self._messages, self._stop)
        self._executor = ProcessPoolExecutor(jobs, context, _begin, arguments)

    def attempts(self, interrupt: Interrupt) -> Iterator[Attempt[TrainSettings]]:
        """What becomes of the runs, as they end."""
        with _children_deaf_to_ctrl_c():
            running: dict[Future[Measurement | None], int] = {
                self._executor.submit(_work, number, spec): number for number, spec in self._waiting.items()
            }
        while running:
            done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
            self._hear()
            if interrupt.requested:
                self._stop.set()
            for future in done:
                number = running.pop(future)
                spec, error = self._waiting[number], future.exception()
                if isinstance(error, BrokenProcessPool):
                    if number not in self.begun:
                        continue  # it waits for another pool
                    error = RuntimeError("a process of this plan died (killed, or out of memory?)")
                if isinstance(error, UserError):
                    raise error
                measured = None if error else future.result()
                if error or measured:
                    del self._waiting[number]
                if error:
                    yield Attempt([spec], failure([spec], error, self._listener))
                elif measured:
                    yield Attempt([spec], [measured])

    def _hear(self) -> None:
        while True:
            try:
                number, now = self._messages.get_nowait()
            except queue.Empty:
                return
            spec = self._waiting.get(number)
            if spec is None:  # it has ended in the meantime
                continue
            if number not in self.begun:
                self.begun.add(number)
                self._listener.started(spec)
            if now is not None:
                self._listener.progress(spec, now)

    def close(self) -> None:
        """Lets the workers save what they are at, and waits for them."""
        self._stop.set()
        self._executor.shutdown(cancel_futures=True)


@contextmanager
def _children_deaf_to_ctrl_c() -> Iterator[None]:
    """A terminal sends Ctrl-C to every process: the parent decides what it means. A child inherits what is blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# In a worker


class _Stop(Interrupt):
    """Requested by the parent, by its death, or by SIGTERM."""

    def __init__(self, event: Any) -> None:
        self._event, self._signalled = event, False
        signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, *_: Any) -> None:
        self._signalled = True

    @property
    def requested(self) -> bool:
        parent = multiprocessing.parent_process()
        return self._signalled or self._event.is_set() or parent is None or not parent.is_alive()


class _Messenger(Observer):
    def __init__(self, messages: Any, number: int) -> None:
        self._messages, self._number = messages, number

    def progress(self, now: Progress | None) -> None:
        self._messages.put((self._number, now))


_runner: Runner
_messages: Any


def _begin(runner: Runner, threads: int, messages: Any, stop: Any) -> None:
    global _runner, _messages
    sys.stdout = sys.stderr  # what a user's code prints must not end up among tables and JSON
    torch.set_num_threads(threads)
    messages.cancel_join_thread()  # what nobody hears any more must not keep this process alive
    _runner, _messages = replace(runner, interrupt=_Stop(stop)), messages
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Ends this process after its parent, when the run that it is at has saved its checkpoint."""
    if parent := multiprocessing.parent_process():
        parent.join()
    with _at_work:
        os._exit(130)


_at_work = threading.Lock()


def _work(number: int, spec: RunSpec[TrainSettings]) -> Measurement | None:
    """What comes of the run; None when it was not begun any more."""
    with _at_work:
        if _runner.interrupt.requested:
            return None
        messenger = _Messenger(_messages, number)
        messenger.progress(None)
        try:
            return _runner(spec, messenger)
        except KeyboardInterrupt:
            return None
