"""Between a run and its trackers: what happens is handed on by threads of their own, so that training never waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Thread

from cmbench.errors import UserError
from cmbench.experiments.lease import LeaseLost
from cmbench.experiments.listener import Progress
from cmbench.experiments.result import Status
from cmbench.training.observer import Observer
from cmbench.training.processes import Processes
from cmbench.training.tracking.base import LOSS, Board, Conclusion, Tracked, Tracker, reason

PATIENCE_SECONDS = 90.0
"""For what is still to be handed on when a run ends."""


class Feed(Observer):
    """Hands on what happens to a run to its board at `tracker`.

    When the tracker fails, that is remarked on once, and the run goes on without it.
    """

    def __init__(self, tracker: Tracker, board: Board, remark: Callable[[str], None]) -> None:
        self._tracker, self._board, self._remark = tracker, board, remark
        self._calls = SimpleQueue[tuple[Callable[[], None], bool]]()
        self._error: Exception | None = None
        self._said, self._step = False, 0
        self._thread = Thread(target=self._work, name=f"track {tracker.name}", daemon=True)
        self._thread.start()

    def started(self, step: int, total_steps: int) -> None:
        self._hand_on(step, partial(self._board.goes_on, step))

    def progress(self, now: Progress) -> None:
        self._write(now.step, {LOSS: now.loss})

    def epoch_done(self, step: int, epoch: int, values: Mapping[str, float | None]) -> bool:
        self._write(step, {f"epoch/{name}": value for name, value in values.items()})
        return False

    def end(self, conclusion: Conclusion | None) -> None:
        """No more will happen; waits until it is known there, if that doesn't take too long."""
        self._calls.put((partial(self._board.end, self._step, conclusion), True))
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            self._error = self._error or TimeoutError(f"not done after {PATIENCE_SECONDS:g} s")
        self._say()

    def _write(self, step: int, values: Mapping[str, float | None]) -> None:
        known = {name: value for name, value in values.items() if value is not None}
        if known:
            self._hand_on(step, partial(self._board.write, step, known))

    def _hand_on(self, step: int, call: Callable[[], None]) -> None:
        self._step = step
        self._calls.put((call, False))
        self._say()

    def _say(self) -> None:
        if self._error and not self._said:
            self._said = True
            self._remark(_lost(self._tracker, self._error))

    def _work(self) -> None:
        last = False
        while not last:
            call, last = self._calls.get()
            if last or self._error is None:
                try:
                    call()
                except Exception as error:
                    self._error = self._error or error


def _lost(tracker: Tracker, error: Exception) -> str:
    return f"goes on without --track {tracker}: {reason(error)}"


@dataclass
class Told:
    """What is being told of a run: by `feeds` while it goes on, by `conclusion` when it has ended."""

    feeds: list[Feed] = field(default_factory=list)
    conclusion: Conclusion | None = None


class Trackers:
    """The trackers of all runs of a command."""

    def __init__(self, trackers: Sequence[Tracker] = ()) -> None:
        self._trackers = trackers
        self._reached: set[Tracker] = set()

    @contextmanager
    def told(self, run: Tracked, remark: Callable[[str], None], processes: Processes) -> Iterator[Told]:
        """While it is open, the run is told to every tracker, by the first of the processes that train it.

        Whoever knows how it has ended sets the `conclusion`; none says that another process goes on with it. Raises
        `UserError`, in every process, for a tracker that cannot be told of this process's first run; of one that fails
        later, that is remarked on.
        """
        told = Told()
        try:
            if self._trackers:
                self._open(told, run, remark, processes)
            yield told
        except LeaseLost:
            raise
        except BaseException as error:
            status: Status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            told.conclusion = Conclusion(status, str(error))
            raise
        finally:
            for feed in told.feeds:
                feed.end(told.conclusion)

    def _open(self, told: Told, run: Tracked, remark: Callable[[str], None], processes: Processes) -> None:
        wrong = None
        for tracker in self._trackers if processes.is_main_process else ():
            try:
                told.feeds.append(Feed(tracker, tracker.open(run), remark))
                self._reached.add(tracker)
            except Exception as error:
                if tracker not in self._reached:
                    wrong = f"--track {tracker}: {reason(error)}"
                    break
                remark(_lost(tracker, error))
        if wrong := processes.broadcast(wrong):
            raise UserError(wrong)
