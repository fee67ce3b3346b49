"""A suite's `space`: its validation with the suite, whose it is, and the suite of one trial."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmbench.errors import UserError
from cmbench.experiments import yaml
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import builtin_suites, load_suite
from cmbench.experiments.sweep.space import load_sweep

SUITE = """
kind: train
description: for the tests
workload: digits
epochs: 2
batch_size: 64
seeds: 3
schedule: {name: step, milestones: [1], gamma: 0.1}
optimizers:
  adam: {lr: 1e-3, eps: 1e-6}
  adam_cm C=9: {name: adam_cm, capacity: 9, space: {lr: [0.1, 0.01], decay: {uniform: [0.5, 0.9]}}}
  adam_sam: {}
grid: {lr: [1, 2], betas: [[0.9, 0.99]]}
space:
  lr: {log: [1e-5, 1e-1]}
  betas: [[0.9, 0.99], [0.9, 0.999]]
  rho: {uniform: [0.01, 0.1], step: 0.01}
  batch_size: [32, 64]
  schedule.gamma: {log: [0.01, 1]}
"""


def test_an_optimizers_space_is_its_own_else_what_it_has_of_the_suites(file):
    axes = {arm.label: list(arm.space.axes) for arm in load_sweep(file()).arms}
    assert axes["adam"] == ["lr", "betas", "batch_size", "schedule.gamma"]
    assert axes["adam_cm C=9"] == ["lr", "decay"]
    assert axes["adam_sam"] == ["lr", "betas", "rho", "batch_size", "schedule.gamma"]


def test_without_a_space_the_grid_is_one(file):
    text = SUITE[: SUITE.index("space:\n")].replace(", space: {lr: [0.1, 0.01], decay: {uniform: [0.5, 0.9]}}", "")
    for arm in load_sweep(file(text)).arms:
        assert arm.space.document() == {"lr": [1, 2], "betas": [[0.9, 0.99]]}
        assert arm.space.size == 2
    with pytest.raises(UserError, match=r"mine\.yaml: space: missing; accepted: "):
        load_sweep(file(text[: text.index("grid:")]))
    with pytest.raises(UserError, match=r"no chosen optimizer \(adam\) has one of rho"):
        load_sweep(file(text[: text.index("grid:")] + "space: {rho: [0.1]}"), opts=["adam"])


def test_the_suite_of_a_trial_has_one_optimizer_and_its_seeds_are_none_of_the_suites(file):
    sweep = load_sweep(file())
    arm = sweep.arms[0]
    setting = {"lr": 0.01, "betas": (0.9, 0.99), "batch_size": 32, "schedule.gamma": 0.5}
    trial = sweep.trial(arm, setting)
    (spec,) = trial.optimizers
    assert spec.label == "adam batch_size=32 schedule.gamma=0.5 lr=0.01 betas=0.9,0.99"
    assert (spec.hyperparameters["lr"], spec.hyperparameters["eps"]) == (0.01, 1e-6)
    assert (trial.settings.batch_size, trial.settings.schedule.gamma, trial.settings.schedule.milestones) == (
        32,
        0.5,
        (1,),
    )
    assert (trial.name, trial.settings.paper) == ("mine_sweep", None)
    assert [spec.seed for spec in plan_training(trial, "data")] == [1000, 1001]
    assert sweep.source.settings.seeds == 3


def test_a_trial_is_the_run_that_the_suite_would_make_of_the_same_setting(file):
    sweep = load_sweep(file())
    setting = {"lr": 0.01, "betas": (0.9, 0.99), "batch_size": 32, "schedule.gamma": 0.5}
    (of_sweep, _) = plan_training(sweep.trial(sweep.arms[0], setting), "data")
    sets = ["lr=0.01", "betas=[0.9, 0.99]", "batch_size=32", "schedule.gamma=0.5"]
    (by_hand,) = plan_training(load_suite(file(), opts=["adam"], sets=sets), "data", [1000])
    assert of_sweep.id == by_hand.id


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=5, max_size=5))
def test_every_setting_of_a_space_makes_a_suite_that_resolves_to_itself(tmp_path_factory, point):
    folder = tmp_path_factory.mktemp("suites")
    path = folder / "mine.yaml"
    path.write_text(SUITE)
    sweep = load_sweep(str(path))
    for arm in sweep.arms:
        trial = sweep.trial(arm, arm.space.at(point[: len(arm.space.axes)]))
        path.write_text(trial.as_yaml())
        assert load_suite(str(path)).as_yaml() == trial.as_yaml()


def test_a_suite_prints_its_space_as_it_is_read(file):
    suite = load_suite(file())
    again = load_suite(file(suite.as_yaml()))
    assert again.as_yaml() == suite.as_yaml()
    assert yaml.parse(suite.as_yaml(), "suite")["space"]["rho"] == {"uniform": [0.01, 0.1], "step": 0.01}
    assert yaml.parse(suite.as_yaml(), "suite")["optimizers"]["adam_cm C=9"]["space"]["lr"] == [0.1, 0.01]


def test_the_command_line_replaces_axes(file):
    sweep = load_sweep(file(), opts=["adam"], sets=["space.lr=[1, 2]", "space.schedule.gamma=[0.5]"])
    assert sweep.arms[0].space.document()["lr"] == [1, 2]
    assert sweep.arms[0].space.document()["schedule.gamma"] == [0.5]


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("{lrr: [1]}", ["mine.yaml: space", "hyperparameter or setting 'lrr'", "did you mean 'lr'"]),
        ("{lr: [0.1, fast]}", ["space.lr", "'fast'", "a number >= 0"]),
        ("{capacity: {uniform: [5, 20]}}", ["space.capacity", "5.0", "an integer from 0 to"]),
        ("{betas: {log: [0.1, 0.9]}}", ["space.betas", "two numbers in [0, 1)"]),
        ("{batch_size: [0]}", ["mine.yaml: space.batch_size: 0", "greater than or equal to 1"]),
        ("{batch_size: {log: [8, 64]}}", ["space.batch_size", "fractional part"]),
        ("{schedule.gama: [1]}", ["space.schedule.gama", "unknown key 'gama'"]),
        ("{workload: [digits, wine]}", ["space.workload", "workload.OPTION"]),
        ("[lr]", ["space: ['lr']", "a mapping of hyperparameters and settings"]),
    ],
)
def test_a_refused_space_is_explained_before_anything_runs(file, space, words):
    text = SUITE[: SUITE.index("space:\n")] + f"space: {space}\n"
    with pytest.raises(UserError) as refusal:
        load_suite(file(text))
    assert all(word in str(refusal.value) for word in words), refusal.value


def test_a_refused_override_names_itself(file):
    with pytest.raises(UserError, match=r"space\.lr: \[\] \(from --set space\.lr=\[\]\)"):
        load_suite(file(), sets=["space.lr=[]"])
    with pytest.raises(UserError, match=r"space\.batch_size: 0 \(from --set space\.batch_size=\[0\]\)"):
        load_suite(file(), sets=["space.batch_size=[0]"])


def test_values_that_do_not_go_together_are_refused_where_they_meet(file):
    text = SUITE.replace("schedule.gamma: {log: [0.01, 1]}", "schedule.milestones: [[1], []]")
    with pytest.raises(UserError, match=r"space\.schedule\.milestones: \(\): a step schedule needs milestones"):
        load_suite(file(text))


def test_every_grid_that_ships_is_a_space_of_as_many_trials():
    sizes = {"adam": 36, "adam_cg": 144, "adam_sam": 108, "adam_cm": 144, "adam_sam_cm": 432}
    for name in ("ptb", "cifar10", "cifar100", "imagenet"):
        assert sizes.items() <= {arm.label: arm.space.size for arm in load_sweep(name).arms}.items()
    for name in ("tinyimagenet_online", "five_datasets_online"):
        assert {arm.space.size for arm in load_sweep(name).arms} == {24}
    assert "digits" in builtin_suites()
