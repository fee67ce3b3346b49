"""A feed hands on what happens in its order, never lets a run wait for its tracker, and says once what goes wrong."""

import threading

from cmbench.experiments.listener import Progress
from cmbench.training.tracking import feed as module
from cmbench.training.tracking.base import Board, Conclusion
from cmbench.training.tracking.feed import Feed
from cmbench.training.tracking.tensorboard import TensorBoard


class Noted(Board):
    """Notes its calls, after `gate` is open; fails at the step `bad`."""

    def __init__(self, bad=None):
        self.calls, self.gate, self.bad = [], threading.Event(), bad

    def goes_on(self, step):
        self.gate.wait()
        self.calls.append(("goes on", step))

    def write(self, step, values):
        if step == self.bad:
            raise ValueError("the disk is\nfull")
        self.calls.append((step, dict(values)))

    def end(self, step, conclusion):
        self.calls.append(("end", step, conclusion.status))


def told(board, remarks):
    feed = Feed(TensorBoard("there"), board, remarks.append)
    feed.started(4, 20)
    feed.progress(Progress(7, 20, loss=0.5))
    feed.progress(Progress(8, 20))  # of a run elsewhere only the steps are known
    feed.epoch_done(10, 1, {"val_loss": 0.25, "val_loss_average": None})
    return feed


def test_it_hands_on_everything_in_its_order_and_nothing_that_is_not_known():
    board, remarks = Noted(), []
    feed = told(board, remarks)
    assert board.calls == []  # and yet all of it was said
    board.gate.set()
    feed.end(Conclusion("completed"))
    points = [(7, {"train/loss": 0.5}), (10, {"epoch/val_loss": 0.25})]
    assert board.calls == [("goes on", 4), *points, ("end", 10, "completed")]
    assert remarks == []


def test_after_a_failure_only_the_end_is_handed_on_and_one_line_says_why():
    board, remarks = Noted(bad=7), []
    board.gate.set()
    told(board, remarks).end(Conclusion("completed"))
    assert board.calls == [("goes on", 4), ("end", 10, "completed")]
    assert remarks == ["goes on without --track tensorboard:there: the disk is full"]


def test_a_tracker_that_does_not_come_to_its_end_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    board, remarks = Noted(), []
    told(board, remarks).end(Conclusion("completed"))
    assert remarks == ["goes on without --track tensorboard:there: not done after 0.1 s"]
    board.gate.set()
