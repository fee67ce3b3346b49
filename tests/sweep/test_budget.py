"""The budget of many processes at once, whose runs are given instead of trained: exact, equal, and in turns."""

import multiprocessing
import random
import time
from itertools import accumulate

import pytest

from cmbench.experiments.execute import Outcome
from cmbench.experiments.plan import plan_training
from cmbench.experiments.sweep.space import load_sweep
from cmbench.sweep import run
from cmbench.sweep.run import Budget, run_sweep
from cmbench.sweep.storage import open_storage
from cmbench.sweep.trials import Rules
from tests.report.results import DATA, trained

from .postgres import FOUND, MISSING, server

PROCESSES, TRIALS = 4, 7
OPTS = ("adam", "adam_cg", "adam_cm")


def given(suite, *, seeds, **_):
    """A run whose accuracy follows from its learning rate, and takes as long as chance has it."""
    time.sleep(random.uniform(0, 0.05))
    specs = plan_training(suite, DATA, seeds)
    return Outcome([trained(spec, 90 - spec.optimizer.hyperparameters["lr"]) for spec in specs], 0, specs)


def work(url, out, budget, rules):
    sweep = load_sweep("digits", opts=OPTS, sets=["space={lr: {log: [1e-4, 1]}, betas: [[0.9, 0.99], [0.9, 0.999]]}"])
    return run_sweep(sweep, open_storage(url, out, "digits_sweep"), rules, budget, out=out)


@pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(FOUND is None, reason=MISSING))],
)
def test_together_they_take_what_each_optimizer_gets_and_not_a_trial_more(monkeypatch, tmp_path, database):
    monkeypatch.setattr(run, "run_suite", given)
    if database == "sqlite":
        _check(None, tmp_path)
    else:
        with server() as url:
            _check(url, tmp_path)


def _check(url, out):
    budget, rules = Budget(TRIALS), Rules("random")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(url, out, budget, rules)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    found = work(url, out, budget, rules)
    assert found.equal
    for each in found.arms:
        assert [trial.state for trial in each.trials] == ["completed"] * TRIALS
        assert len({str(trial.setting) for trial in each.trials}) == TRIALS
        assert each.best.value == max(trial.value for trial in each.trials)


def test_the_optimizers_take_turns(monkeypatch, tmp_path):
    began = []

    def noted(suite, *, seeds, **more):
        began.append(suite.optimizers[0].name)
        return given(suite, seeds=seeds, **more)

    monkeypatch.setattr(run, "run_suite", noted)
    found = work(None, tmp_path, Budget(hours=2 / 3600), Rules("random"))
    counts = [len(each.trials) for each in found.arms]
    assert min(counts) > 0
    assert max(counts) - min(counts) <= 1
    trials = began[::2]  # two seeds each
    so_far = accumulate(trials, lambda seen, name: seen | {name: seen.get(name, 0) + 1}, initial=dict.fromkeys(OPTS, 0))
    assert all(max(seen.values()) - min(seen.values()) <= 1 for seen in so_far)


def test_an_exhausted_space_ends_the_search_of_its_optimizer_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "run_suite", given)
    said = []
    sweep = load_sweep("digits", opts=OPTS, sets=["space={lr: [0.1, 0.01], capacity: [1, 2, 3]}"])
    storage = open_storage(None, tmp_path, "digits_sweep")
    found = run_sweep(sweep, storage, Rules("tpe"), Budget(5), out=tmp_path, say=said.append)
    assert {each.arm.label: len(each.trials) for each in found.arms} == {"adam": 2, "adam_cg": 5, "adam_cm": 5}
    assert "adam: all 2 settings of its space were tried" in said
    assert not found.equal
