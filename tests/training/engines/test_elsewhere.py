"""Runs in processes elsewhere: what the command makes of what they say, of their silence, and of a wish to stop."""

from contextlib import contextmanager
from functools import partial

import pytest
import torch

from cmbench.errors import UserError
from cmbench.experiments.execute import Attempt, execute
from cmbench.experiments.files import RESUME
from cmbench.experiments.lease import Leases
from cmbench.experiments.listener import Listener
from cmbench.experiments.plan import plan_training
from cmbench.experiments.record import Measurement, Recorder
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import load_suite
from cmbench.training.engines import elsewhere as module
from cmbench.training.engines.elsewhere import Died, Ended, elsewhere
from cmbench.training.interrupt import Interrupt
from cmbench.training.runner import Runner


class Wish(Interrupt):
    """Requested when a test says so."""

    requested = False


class Fleet:
    """What is `said` of each run, by its seed; what is not said by the time that it is cancelled never is."""

    def __init__(self, said, silent=()):
        self.said, self.silent, self.cancelled = said, silent, set()

    @contextmanager
    def launch(self, runner, specs):
        self.runner, self.todo = runner, list(specs)
        yield self

    def ended(self):
        for spec in list(self.todo):
            if spec.seed not in self.silent or spec.id in self.cancelled:
                self.todo.remove(spec)
                yield spec, Died("cancelled") if spec.id in self.cancelled else self.said[spec.seed](spec)

    def cancel(self, runs):
        self.cancelled.update(runs)


class Heard(Listener):
    def __init__(self):
        self.all = []

    def started(self, spec):
        self.all.append(("started", spec.seed))

    def remark(self, spec, text):
        self.all.append((text, spec.seed))

    def failed(self, spec, details):
        self.all.append((details, spec.seed))


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)


@pytest.fixture
def specs():
    """Two runs."""
    return plan_training(load_suite("digits", kind="train", opts=["adam"]), "data", [0, 1])


@pytest.fixture
def runner(tmp_path):
    return Runner(None, None, torch.device("cpu"), ResultStore(tmp_path), Leases(tmp_path), interrupt=Wish())


def completed(store, spec):
    result = Recorder(store, "cpu").record(spec, Measurement("completed"))
    return Ended(Attempt(spec, result), ("a remark",))


def test_what_processes_say_is_the_plans_outcome_and_silence_is_a_failed_run(specs, runner):
    fleet = Fleet({0: partial(completed, runner.store), 1: lambda spec: Died("no memory", "trace")})
    heard = Heard()
    outcome = execute(specs, runner.store, elsewhere(runner, fleet.launch), listener=heard)
    assert [result.status for result in outcome.results] == ["completed", "failed"]
    assert outcome.results[1].error == "RuntimeError: no memory"
    assert runner.store.find(specs[1]).status == "failed"
    assert heard.all == [("started", 0), ("a remark", 0), ("started", 1), ("trace", 1)]


def test_a_process_that_died_after_it_had_stored_its_result_did_not_fail(specs, runner):
    def died(spec):
        completed(runner.store, spec)
        return Died("killed")

    outcome = execute(specs, runner.store, elsewhere(runner, Fleet({0: died, 1: died}).launch))
    assert [result.status for result in outcome.results] == ["completed", "completed"]


def test_what_the_user_can_mend_ends_the_others_and_then_the_plan(specs, runner):
    fleet = Fleet({0: lambda spec: Ended(error="no such data")}, silent=[1])
    with pytest.raises(UserError, match="no such data"):
        execute(specs, runner.store, elsewhere(runner, fleet.launch))
    assert fleet.cancelled == {specs[1].id}
    assert runner.store.find(specs[1]) is None


def test_a_stop_asks_those_that_have_begun_and_cancels_those_that_have_not(specs, runner):
    class Asked(Fleet):
        def ended(self):
            if lease.stop_requested:
                self.silent = [1]
            return super().ended()

    def stopped(spec):
        result = Recorder(runner.store, "cpu").record(spec, Measurement("interrupted"))
        return Ended(Attempt(spec, result, "interrupted"))

    fleet = Asked({0: stopped}, silent=[0, 1])
    runner.interrupt.requested = True
    with runner.leases.take(specs[0], "cpu") as lease, pytest.raises(KeyboardInterrupt):
        list(elsewhere(runner, fleet.launch)([specs], Listener(), None))
    assert fleet.cancelled == {specs[1].id}
    assert runner.store.find(specs[0]).status == "interrupted"


def test_a_process_that_gave_up_before_it_began_interrupts_the_plan(specs, runner):
    fleet = Fleet({0: lambda spec: Ended(), 1: partial(completed, runner.store)})
    with pytest.raises(KeyboardInterrupt):
        execute(specs, runner.store, elsewhere(runner, fleet.launch))


def test_what_another_process_is_at_is_left_to_it(specs, runner):
    fleet = Fleet({0: lambda spec: Ended(Attempt(spec, None)), 1: partial(completed, runner.store)})
    attempts = list(elsewhere(runner, fleet.launch)([specs], Listener(), None))
    assert [attempt.result is None for attempt in attempts] == [True, False]


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_from_the_beginning_goes_on_when_its_process_is_started_again(resume, specs, runner):
    runner.resume = resume
    earlier = runner.store.path(specs[0], RESUME)
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    fleet = Fleet(dict.fromkeys([0, 1], partial(completed, runner.store)))
    there = []

    def launch(*arguments):
        there.append(earlier.exists())
        return fleet.launch(*arguments)

    list(elsewhere(runner, launch)([specs], Listener(), None))
    assert there == [resume]
    assert fleet.runner.resume
