"""Studies: no setting twice, no trial more than the budget, none lost; each sampler as it is described."""

import math
import threading

import optuna
import pytest

from cmbench.errors import UserError
from cmbench.experiments.entries import OptimizerSpec
from cmbench.experiments.sweep.axes import axis_of
from cmbench.experiments.sweep.space import Arm, Space
from cmbench.sweep.samplers import startup
from cmbench.sweep.storage import open_storage
from cmbench.sweep.trials import Rules, Trials

IDENTITY = {"suite": "mine"}
SMALL = {"lr": [0.1, 0.01, 0.001], "betas": [[0.9, 0.99], [0.9, 0.999]]}
WIDE = {"lr": {"log": [1e-5, 1]}, "capacity": {"int": [1, 50]}, "betas": [[0.9, 0.99], [0.9, 0.999]]}


@pytest.fixture
def storage(tmp_path):
    return open_storage(None, tmp_path, "mine_sweep")


def trials(storage, axes, sampler="tpe", **rules):
    space = Space({name: axis_of(written, name) for name, written in axes.items()})
    made = Trials(storage, Arm(OptimizerSpec("adam", "adam", {}), space), "higher", Rules(sampler, **rules), IDENTITY)
    made.create()
    return made


def search(made, count, value=lambda setting: setting["lr"]):
    """Takes and ends `count` trials, as far as there are so many; their settings."""
    settings = []
    while len(settings) < count and made.queue_next():
        taken = made.take()
        settings.append(taken.setting)
        taken.completed([value(taken.setting)], 0)
    return settings


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe", "gp"])
def test_a_small_space_is_exhausted_without_a_repeat(storage, sampler):
    settings = search(trials(storage, SMALL, sampler), 10)
    assert len(settings) == 6
    assert len({str(setting) for setting in settings}) == 6


def test_a_narrow_range_is_exhausted_as_well(storage):
    narrow = trials(storage, {"lr": {"log": [0.1, 0.102]}}, "random")
    assert sorted(setting["lr"] for setting in search(narrow, 9)) == [0.1, 0.101, 0.102]


def test_the_whole_grid_is_tried_in_its_order_and_a_part_of_it_in_a_random_one(storage):
    whole = trials(storage, SMALL, "grid", whole=True)
    assert search(whole, 6) == list(whole.arm.space.settings())
    parts = [search(trials(storage, SMALL, "grid", seed=seed), 3) for seed in range(4)]
    assert len({str(part) for part in parts}) > 1
    assert all(part != search(trials(storage, SMALL, "grid", whole=True), 3) for part in parts)


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_a_sweep_that_was_stopped_goes_on_as_if_it_had_not_been(storage, tmp_path, sampler):
    at_once = search(trials(storage, WIDE, sampler, seed=3), 11)
    other = open_storage(f"sqlite:///{tmp_path}/other.db", tmp_path, "mine_sweep")
    assert search(trials(other, WIDE, sampler, seed=3), 5) == at_once[:5]
    assert search(trials(other, WIDE, sampler, seed=3), 6) == at_once[5:]
    assert search(trials(other, WIDE, sampler, seed=4), 5) != at_once[:5]


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_the_first_trials_cover_the_range_and_later_ones_gather_at_the_best(storage, sampler):
    made = trials(storage, {"lr": {"log": [1e-4, 1]}}, sampler)
    first = startup(made.arm.space, sampler)
    settings = search(made, 20, lambda setting: -abs(setting["lr"] - 0.01) / setting["lr"] ** 0.5)
    assert {math.floor(math.log10(setting["lr"])) for setting in settings[:4]} == {-4, -3, -2, -1}
    near = [0.003 < setting["lr"] < 0.03 for setting in settings]
    assert sum(near[first:]) / len(near[first:]) > 0.5


def test_what_is_given_back_is_tried_next_and_counts_once(storage):
    made = trials(storage, WIDE)
    made.queue_next()
    taken = made.take()
    taken.given_back()
    assert made.all() == []
    made.requeue()
    made.requeue()
    assert [trial.state for trial in made.all()] == ["waiting"]
    assert made.take().setting == taken.setting
    assert made.take() is None


def test_a_trial_without_signs_of_life_is_taken_over(tmp_path):
    storage = open_storage(None, tmp_path, "mine_sweep", heartbeat=1)
    made = trials(storage, WIDE)
    made.queue_next()
    dead = made.take()
    made.requeue()
    assert [trial.state for trial in made.all()] == ["running"]
    deadline = threading.Event()
    with storage.alive(dead.trial_id):
        deadline.wait(5)
        made.requeue()
        assert [trial.state for trial in made.all()] == ["running"]
    deadline.wait(5)
    made.requeue()
    taken = made.take()
    assert taken.setting == dead.setting
    dead.completed([1.0], 0)  # it was alive after all: what it says comes too late
    assert [trial.state for trial in made.all()] == ["running"]
    taken.completed([2.0, 4.0], 1)
    (trial,) = made.all()
    assert (trial.state, trial.value, trial.values, trial.found) == ("completed", 3.0, (2.0, 4.0), 1)


def test_a_lost_trial_is_the_worst_and_has_no_value(storage):
    made = trials(storage, SMALL)
    search(made, 2)
    made.queue_next()
    made.take().lost("diverged", 0)
    assert [trial.state for trial in made.all()] == ["completed", "completed", "diverged"]
    assert made.all()[-1].value is None
    assert min(trial.value for trial in made.study().trials) == float("-inf")


def test_successive_halving_cuts_what_is_behind(storage):
    made = trials(storage, WIDE, prune=True, epochs=9)
    for value in (0.5, 0.9):
        made.queue_next()
        ahead = made.take()
        assert not any(ahead.report(epoch, value) for epoch in range(1, 10))
        ahead.completed([value], 0)
    made.queue_next()
    behind = made.take()
    assert behind.report(1, 0.1)
    behind.pruned()
    trial = made.all()[-1]
    assert (trial.state, trial.value) == ("pruned", 0.1)


def test_another_space_or_another_rule_is_another_study(storage):
    names = {
        trials(storage, axes, sampler, seed=seed, prune=prune).name
        for axes in (SMALL, WIDE)
        for sampler in ("random", "tpe")
        for seed in (0, 1)
        for prune in (False, True)
    }
    assert len(names) == 16
    assert trials(storage, SMALL).name == trials(storage, SMALL).name
    assert all(name.startswith("mine/adam ") for name in names)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:secret@h/d", "accepted: sqlite:///FILE, postgresql://"),
        ("postgresql://u:secret@127.0.0.1:1/d", "--storage postgresql+psycopg://u@127.0.0.1:1/d: connection"),
        ("sqlite:////proc/none/sweep.db", "cannot be written"),
    ],
)
def test_a_storage_that_cannot_be_used_is_an_error_without_the_password(tmp_path, url, words):
    with pytest.raises(UserError) as refusal:
        open_storage(url, tmp_path, "mine_sweep")
    assert words in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_file_that_is_no_storage_is_an_error(tmp_path):
    (tmp_path / "sweep.db").write_text("no database " * 100)
    with pytest.raises(UserError, match="not a storage of Optuna's"):
        open_storage(f"sqlite:///{tmp_path}/sweep.db", tmp_path, "mine_sweep")


def test_optuna_itself_reads_the_studies(storage):
    made = trials(storage, SMALL)
    search(made, 3)
    study = optuna.load_study(study_name=made.name, storage=storage.rdb)
    assert len(study.trials) == 3
    assert study.best_trial.params["lr"] == max(trial.params["lr"] for trial in study.trials)
