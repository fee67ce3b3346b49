"""Runs of one workload, one after the other in this process or several processes at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from cmbench.errors import UserError
from cmbench.experiments.execute import Attempt, Listener, Measurement, Schedule, failure
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.store import ResultStore
from cmbench.training.interrupt import Interruptible
from cmbench.training.processes import ALONE, Processes
from cmbench.training.tensorboard import TensorBoard
from cmbench.training.trainer import Gauge, Observer, Progress, train
from cmbench.workloads.base import Workload


@dataclass
class Runner:
    """Trains specs of `workload`, whose data is loaded before the first of them, and not when there is none."""

    workload: Workload
    device: torch.device
    store: ResultStore
    force: bool = False
    gauges: Mapping[str, Gauge] = field(default_factory=dict)
    tensorboard: Path | None = None
    processes: Processes = ALONE
    _loaded: bool = False

    def __call__(self, spec: RunSpec, observer: Observer) -> Measurement:
        if not self._loaded:
            self.workload.load(self.device)
            self._loaded = True
        watching = [observer]
        if self.tensorboard and self.processes.leads:
            watching.append(TensorBoard(self.tensorboard, spec))
        return train(
            spec,
            self.workload,
            self.device,
            lambda suffix: self.store.path(spec, suffix),
            processes=self.processes,
            force=self.force,
            observer=_Both(watching),
            gauges=self.gauges,
        )


class _Both(Observer):
    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def progress(self, now: Progress) -> None:
        for observer in self._observers:
            observer.progress(now)

    def epoch_done(self, step: int, values: Mapping[str, float | None]) -> None:
        for observer in self._observers:
            observer.epoch_done(step, values)


def at_once(runner: Runner, jobs: int, threads: int, progress: Callable[[str, Progress], None]) -> Schedule:
    """The runs in `jobs` processes of `threads` threads each; `progress` hears of each by the id of its spec.

    SIGINT and SIGTERM reach every run, which saves a checkpoint; what has ended by then is kept. A process that dies
    makes its run fail, and those that ran beside it, which go on from their checkpoints when they are run again.
    """

    def schedule(groups: Sequence[Sequence[RunSpec]], listener: Listener) -> Iterator[Attempt]:
        waiting = {spec.id: spec for (spec,) in groups}
        with Interruptible() as interrupt:
            while waiting and not interrupt.requested:
                with _pool(runner, min(jobs, len(waiting)), threads, waiting, listener, progress) as pool:
                    yield from _attempts(pool, waiting, listener, interrupt)
        if interrupt.requested:
            raise KeyboardInterrupt

    return schedule


@dataclass
class _Pool:
    executor: ProcessPoolExecutor
    workers: list[int]
    begun: set[str]

    def stop(self) -> None:
        """Lets the workers save what they are at, and none begin anything new."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            try:
                os.kill(worker, signal.SIGTERM)
            except ProcessLookupError:
                continue


def _attempts(
    pool: _Pool, waiting: dict[str, RunSpec], listener: Listener, interrupt: Interruptible
) -> Iterator[Attempt]:
    running: dict[Future, RunSpec] = {pool.executor.submit(_work, spec): spec for spec in waiting.values()}
    stopped = False
    while running:
        done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
        if interrupt.requested and not stopped:
            pool.stop()
            stopped = True
        for future in done:
            spec = running.pop(future)
            if future.cancelled():
                continue
            error = future.exception()
            if isinstance(error, UserError):
                raise error
            if isinstance(error, BrokenProcessPool):
                if spec.id not in pool.begun:
                    continue  # it is still waiting, for another pool
                error = RuntimeError("a process of this plan died (killed, or out of memory?)")
            measurements = failure([spec], error, listener) if error else [future.result()]
            if measurements != [None]:
                del waiting[spec.id]
                yield [spec], measurements


@contextmanager
def _pool(
    runner: Runner,
    jobs: int,
    threads: int,
    specs: Mapping[str, RunSpec],
    listener: Listener,
    progress: Callable[[str, Progress], None],
) -> Iterator[_Pool]:
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    executor = ProcessPoolExecutor(jobs, context, _begin, (runner, threads, messages))
    pool = _Pool(executor, [], set())
    known = dict(specs)

    def hear() -> None:
        while (message := messages.get()) is not None:
            who, what = message
            if who is None:
                pool.workers.append(what)
            elif what is None:
                pool.begun.add(who)
                listener.started(known[who])
            else:
                progress(who, what)

    hearing = threading.Thread(target=hear, daemon=True)
    hearing.start()
    try:
        yield pool
    except BaseException:
        pool.stop()
        raise
    finally:
        executor.shutdown()
        messages.put(None)
        hearing.join()


# In a worker


class _Worker:
    """The one of this process, which trains what it is given until it is told to stop."""

    def __init__(self, runner: Runner, messages: Any) -> None:
        self.runner, self.messages = runner, messages
        self.busy = self.stopped = False
        # Ctrl-C reaches every process of a terminal: the parent decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        threading.Thread(target=self._follow_parent, daemon=True).start()
        messages.put((None, os.getpid()))

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True

    def _follow_parent(self) -> None:
        """Ends with a checkpoint when the parent has been killed."""
        multiprocessing.parent_process().join()
        os.kill(os.getpid(), signal.SIGTERM)
        while self.busy:
            time.sleep(0.05)
        os._exit(130)

    def work(self, spec: RunSpec) -> Measurement | None:
        """What comes of the run; None when it was not begun any more."""
        if self.stopped:
            return None
        self.busy = True
        try:
            self.messages.put((spec.id, None))
            measurement = self.runner(spec, _Messenger(self.messages, spec.id))
            # The signal went to the run; what is still queued for this process is not begun.
            self.stopped |= measurement.status == "interrupted"
            return measurement
        finally:
            self.busy = False


class _Messenger(Observer):
    def __init__(self, messages: Any, who: str) -> None:
        self._messages, self._who = messages, who

    def progress(self, now: Progress) -> None:
        self._messages.put((self._who, now))


_worker: _Worker


def _begin(runner: Runner, threads: int, messages: Any) -> None:
    global _worker
    torch.set_num_threads(threads)
    _worker = _Worker(runner, messages)


def _work(spec: RunSpec) -> Measurement | None:
    return _worker.work(spec)
