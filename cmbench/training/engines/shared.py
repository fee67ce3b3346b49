"""Any way to train runs, among other processes that train the same ones: what they are at is waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from cmbench.experiments.execute import Attempt, Engine, Record
from cmbench.experiments.listener import Listener
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.settings import TrainSettings
from cmbench.training.runner import Heard, Runner

POLL_SECONDS = 0.5

Groups = Sequence[Sequence[RunSpec[TrainSettings]]]
Attempts = Iterator[Attempt[TrainSettings]]


def shared(engine: Engine[TrainSettings], runner: Runner) -> Engine[TrainSettings]:
    """Like `engine`, which calls `runner`; what it leaves to other processes is looked at again until it is finished.

    A run that they have given back, or died over, is tried again. Raises `KeyboardInterrupt` when a run was
    interrupted, or when that is asked for while it waits.
    """

    def patient(groups: Groups, listener: Listener, record: Record) -> Attempts:
        todo, held = groups, list[RunSpec[TrainSettings]]()
        while todo:
            interrupted = False
            for attempt in engine(todo, listener, record):
                if attempt.result is None:
                    held.append(attempt.spec)
                    continue
                yield attempt
                interrupted |= attempt.how == "interrupted"
            if interrupted:
                raise KeyboardInterrupt
            if held:
                listener.waiting(held)
            todo = []
            while held and not todo:
                runner.stop_if_interrupted()
                time.sleep(POLL_SECONDS)
                for spec in _free(held):
                    held.remove(spec)
                    if found := runner.found(spec):
                        yield Attempt(spec, found, "found")
                    else:
                        todo.append([spec])

    def _free(held: Sequence[RunSpec[TrainSettings]]) -> list[RunSpec[TrainSettings]]:
        is_main = runner.processes.is_main_process
        free = [is_main and not runner.leases.is_held(spec.id) for spec in held]
        return [spec for spec, is_free in zip(held, runner.processes.broadcast(free), strict=True) if is_free]

    return patient


def one_by_one(runner: Runner) -> Engine[TrainSettings]:
    """The runs one after the other in this process, until one is interrupted."""

    def engine(groups: Groups, listener: Listener, record: Record) -> Attempts:
        for spec in (spec for members in groups for spec in members):
            attempt = runner(spec, Heard(spec, listener))
            yield attempt
            if attempt.how == "interrupted":
                return

    return engine
