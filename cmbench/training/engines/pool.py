"""Several runs at once, each in a process of its own on this machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from cmbench.errors import UserError
from cmbench.experiments.execute import Attempt, Engine, Record, failure
from cmbench.experiments.listener import Listener, Progress
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.settings import TrainSettings
from cmbench.training.engines.places import Workers, keep_to
from cmbench.training.engines.shared import Attempts, Groups
from cmbench.training.interrupt import Interrupt
from cmbench.training.observer import Observer
from cmbench.training.runner import Runner


def at_once(runner: Runner, workers: Workers) -> Engine[TrainSettings]:
    """The runs in a process at each of the workers' places.

    When the runner's `interrupt` is requested, or one of the runs is asked to stop, every run saves a checkpoint; what
    has ended by then is kept. A process that dies makes its run fail, and those that ran beside it, which go on from
    their checkpoints when they are run again. Raises `UserError` when processes die before they have begun anything.
    """

    def engine(groups: Groups, listener: Listener, record: Record) -> Attempts:
        waiting = dict(enumerate(spec for members in groups for spec in members))
        interrupted = False
        while waiting and not interrupted:
            pool = _Pool(runner, workers, waiting, listener, record)
            try:
                for attempt in pool.attempts():
                    interrupted |= attempt.how == "interrupted"
                    yield attempt
            finally:
                pool.close()
            interrupted |= runner.interrupt.requested
            if waiting and not pool.begun and not interrupted:
                jobs = len(workers.places)
                raise UserError(f"--jobs {jobs}: the processes end before they begin a run (out of memory?)")
        if interrupted:
            raise KeyboardInterrupt

    return engine


class _Pool:
    """Worker processes until one of them dies; what they finish is taken from `waiting`."""

    def __init__(
        self,
        runner: Runner,
        workers: Workers,
        waiting: dict[int, RunSpec[TrainSettings]],
        listener: Listener,
        record: Record,
    ) -> None:
        context, self._others = multiprocessing.get_context("spawn"), {*multiprocessing.active_children()}
        self.begun: set[int] = set()
        self._interrupt, self._waiting, self._listener, self._record = runner.interrupt, waiting, listener, record
        self._messages, self._stop = context.Queue(), context.Event()
        free = context.Queue()
        places = workers.places[: len(waiting)]
        for place in places:
            free.put(place)
        arguments = (replace(runner, interrupt=Interrupt()), workers.threads, free, self._messages, self._stop)
        self._executor = ProcessPoolExecutor(len(places), context, _begin, arguments)

    def attempts(self) -> Attempts:
        """What becomes of the runs, as they end."""
        with _children_deaf_to_ctrl_c():
            running: dict[Future[Attempt[TrainSettings] | None], int] = {
                self._executor.submit(_work, number, spec): number for number, spec in self._waiting.items()
            }
        while running:
            done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
            self._hear()
            if self._interrupt.requested:
                self._stop.set()
            for future in done:
                number = running.pop(future)
                spec, error = self._waiting[number], future.exception()
                if isinstance(error, BrokenProcessPool):
                    if number not in self.begun:
                        continue  # it waits for another pool
                    failed, _ = failure(RuntimeError("a process of this plan died (killed, or out of memory?)"))
                    attempt: Attempt[TrainSettings] | None = Attempt(spec, self._record(spec, failed))
                elif error:
                    raise error
                else:
                    attempt = future.result()
                if attempt:
                    del self._waiting[number]
                    if attempt.how == "interrupted":
                        self._stop.set()
                    yield attempt

    def _hear(self) -> None:
        while True:
            try:
                number, heard = self._messages.get_nowait()
            except queue.Empty:
                return
            spec = self._waiting.get(number)
            if spec is None:  # it has ended in the meantime
                continue
            if number not in self.begun:
                self.begun.add(number)
                self._listener.started(spec)
            if isinstance(heard, Progress):
                self._listener.progress(spec, heard)
            elif heard:
                self._listener.remark(spec, heard)

    def close(self) -> None:
        """Lets the workers save what they are at, and waits for them, but not for those that only begin to start."""
        self._stop.set()
        self._hear()
        if self._interrupt.requested and not self.begun & self._waiting.keys():
            self._kill()
        self._executor.shutdown(cancel_futures=True)
        # One that was being started while the pool broke: nobody gives it work, and this process would wait for it.
        self._kill()

    def _kill(self) -> None:
        for child in {*multiprocessing.active_children()} - self._others:
            child.kill()


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

    def started(self, step: int, total_steps: int) -> None:
        self._messages.put((self._number, ""))

    def progress(self, now: Progress) -> None:
        self._messages.put((self._number, now))

    def remark(self, text: str) -> None:
        self._messages.put((self._number, text))


_runner: Runner
_messages: Any


def _begin(runner: Runner, threads: int, free: Any, messages: Any, stop: Any) -> None:
    global _runner, _messages
    sys.stdout = sys.stderr  # what a user's code prints must not end up among tables and JSON
    place = free.get()
    keep_to(place.cores)
    torch.set_num_threads(threads)
    messages.cancel_join_thread()  # what nobody hears any more must not keep this process alive
    _runner, _messages = replace(runner, interrupt=_Stop(stop), device=torch.device(place.device)), messages
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Ends this process after its parent, when the run that it is at has saved its checkpoint."""
    if parent := multiprocessing.parent_process():
        parent.join()
    with _at_work:
        os._exit(130)


_at_work = threading.Lock()


def _work(number: int, spec: RunSpec[TrainSettings]) -> Attempt[TrainSettings] | None:
    """What comes of the run; None when it was not begun any more."""
    with _at_work:
        try:
            return _runner(spec, _Messenger(_messages, number))
        except KeyboardInterrupt:
            return None
