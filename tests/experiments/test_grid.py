"""A grid: its validation with the suite, the product of what is tried, its labels, seeds and identities."""

import itertools

import pytest

from cmbench.errors import UserError
from cmbench.experiments import yaml
from cmbench.experiments.grid import load_grid, shipped, split_label
from cmbench.experiments.plan import plan_training
from cmbench.experiments.store import folder_name
from cmbench.experiments.suite import builtin_suites, load_suite

SUITE = """
kind: train
description: for the tests
workload: digits
epochs: 2
batch_size: 64
seeds: 3
optimizers:
  adam: {lr: 1e-3, eps: 1e-6}
  adam_cm C=9: {name: adam_cm, capacity: 9, decay: 0.5}
grid: {lr: [0.1, 1e-5], betas: [[0.9, 0.99], [0.9, 0.999]], decay: [0.7, 0.99, 1], rho: [0.1, 0.2]}
"""


def test_each_optimizer_gets_the_product_of_what_it_has_and_keeps_the_rest(file):
    grid = load_grid(file())
    assert (grid.name, grid.settings.seeds, grid.settings.paper) == ("mine_grid", 2, None)
    adam = [spec for spec in grid.optimizers if spec.name == "adam"]
    tried = [(spec.hyperparameters["lr"], spec.hyperparameters["betas"]) for spec in adam]
    assert tried == list(itertools.product((0.1, 1e-5), ((0.9, 0.99), (0.9, 0.999))))
    assert {spec.hyperparameters["eps"] for spec in adam} == {1e-6}
    memory = [spec for spec in grid.optimizers if spec.name == "adam_cm"]
    assert len(memory) == 2 * 2 * 3
    assert {spec.hyperparameters["capacity"] for spec in memory} == {9}
    assert {spec.hyperparameters["decay"] for spec in memory} == {0.7, 0.99, 1}


def test_labels_hold_every_value_that_is_searched_and_can_be_taken_apart(file):
    grid = load_grid(file(), sets=["grid.lr=[0.1]"])
    assert grid.optimizers[0].label == "adam lr=0.1 betas=0.9,0.99"
    assert grid.optimizers[-1].label == "adam_cm C=9 lr=0.1 betas=0.9,0.999 decay=1"
    assert folder_name(grid.optimizers[-1].label) == "adam_cm_C=9_lr=0.1_betas=0.9,0.999_decay=1"
    assert {split_label(spec.label)[0] for spec in grid.optimizers} == {"adam", "adam_cm C=9"}
    assert split_label("adam_cm lr=0.01 capacity=20") == ("adam_cm", "lr=0.01 capacity=20")
    assert split_label("adam lt=3") == ("adam lt=3", "")


def test_a_grid_in_parts_has_the_trials_of_the_whole_one(file):
    whole = plan_training(load_grid(file()), "data")
    parts = [
        plan_training(load_grid(file(), opts=[opt], sets=[f"grid.lr=[{lr}]", f"grid.decay=[{decay}]"]), "data")
        for opt in ("adam", "adam_cm C=9")
        for lr in ("0.1", "1e-5")
        for decay in (["0.7", "0.99", "1"] if "cm" in opt else ["0.7"])
    ]
    named = [[(spec.id, spec.optimizer.label) for spec in specs] for specs in (whole, itertools.chain(*parts))]
    assert sorted(named[0]) == sorted(named[1])
    narrow = load_grid(file(), opts=["adam"], sets=["grid={lr: [0.1]}"])
    assert [spec.label for spec in narrow.optimizers] == ["adam lr=0.1 betas=0.9,0.999"]


def test_settings_that_two_labels_share_are_answered_for_both(file):
    text = SUITE.replace("adam_cm C=9: {name: adam_cm, capacity: 9, decay: 0.5}", "twin: {name: adam, eps: 1e-6}")
    grid = load_grid(file(text))
    assert [split_label(spec.label)[0] for spec in grid.optimizers] == ["adam"] * 4 + ["twin"] * 4
    assert len({spec.id for spec in plan_training(grid, "data")}) == 4 * 2


def test_its_seeds_are_none_of_the_suites(file):
    grid = load_grid(file(), sets=["seeds=3"])
    seeds = {spec.seed for spec in plan_training(grid, "data")}
    assert seeds == {1000, 1001, 1002}
    assert seeds.isdisjoint(spec.seed for spec in plan_training(load_suite(file()), "data"))
    assert {spec.seed for spec in plan_training(grid, "data", [7])} == {7}


def test_an_identity_depends_on_what_determines_the_run_alone(file):
    grid = load_grid(file())
    label = "adam_cm C=9 lr=0.1 betas=0.9,0.99 decay=0.7"
    same = load_suite(file(), opts=["adam_cm"], sets=["lr=0.1", "betas=[0.9, 0.99]", "decay=0.7", "grid={}"])
    (by_hand,) = plan_training(same, "data", [1000])
    (of_grid,) = [s for s in plan_training(grid, "data") if (s.optimizer.label, s.seed) == (label, 1000)]
    assert of_grid.id == by_hand.id
    wider = load_grid(file(), sets=["grid.decay=[0.7, 0.99, 1, 0.5]"])
    assert {s.id for s in plan_training(grid, "data")} < {s.id for s in plan_training(wider, "data")}
    assert len({s.id for s in plan_training(grid, "data")}) == 2 * (4 + 12)


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ("{lrr: [1]}", ["mine.yaml: grid", "'lrr'", "did you mean 'lr'", "accepted: lr, betas"]),
        ("{lr: []}", ["grid.lr: []", "a list of values, each a number >= 0"]),
        ("{lr: 0.1}", ["grid.lr: 0.1", "a list of values"]),
        ("{lr: [0.1, fast]}", ["grid.lr", "'fast'", "a number >= 0"]),
        ("{betas: [0.9, 0.99]}", ["grid.betas", "0.9", "two numbers in [0, 1)"]),
        ("{capacity: [5, -1]}", ["grid.capacity", "-1", "an integer from 0 to"]),
        ("{lr: [0.1, 1e-1]}", ["grid.lr", "given twice"]),
        ("[lr]", ["grid: ['lr']", "a mapping of hyperparameters"]),
    ],
)
def test_a_refused_grid_is_explained_whether_it_is_run_or_not(file, grid, words):
    text = SUITE[: SUITE.index("grid:")] + f"grid: {grid}\n"
    for load in (load_suite, load_grid):
        with pytest.raises(UserError) as refusal:
            load(file(text))
        assert all(word in str(refusal.value) for word in words), refusal.value


def test_a_refused_override_names_itself(file):
    with pytest.raises(UserError, match=r"grid\.lr: \[\] \(from --set grid\.lr=\[\]\)"):
        load_suite(file(), sets=["grid.lr=[]"])


def test_a_suite_or_an_optimizer_without_a_grid_cannot_be_searched(file):
    with pytest.raises(UserError, match=r"mine\.yaml: grid: missing; accepted: "):
        load_grid(file(SUITE[: SUITE.index("grid:")]))
    with pytest.raises(UserError, match=r"no chosen optimizer \(adam\) has one of rho"):
        load_grid(file(SUITE[: SUITE.index("grid:")] + "grid: {rho: [0.1, 0.2]}\n"), opts=["adam"])
    with pytest.raises(UserError, match="this command runs 'train' suites"):
        load_grid("levy")


def test_grids_that_ship_are_those_of_tables_8_and_12_or_as_many_trials_for_every_optimizer():
    pairs = [[b1, b2] for b1 in (0.9, 0.99, 0.999) for b2 in (0.99, 0.999, 0.9999)]
    sizes = {"adam": 36, "adam_cg": 144, "adam_sam": 108, "adam_cm": 144, "adam_sam_cm": 432}
    for name in ("ptb", "cifar10", "cifar100", "imagenet"):
        assert yaml.parse(load_suite(name).as_yaml(), name)["grid"]["betas"] == pairs
        grid = shipped(f"{name}_grid")
        assert {n: sum(spec.name == n for spec in grid.optimizers) for n in sizes} == sizes
    for name in (name for name in builtin_suites() if name.startswith("figure10_")):
        assert {spec.name for spec in load_suite(name).optimizers} == {"adam_cm"}
        assert len(shipped(f"{name}_grid").optimizers) == sizes["adam_cm"]
    for name in ("tinyimagenet_online", "five_datasets_online"):
        grid = yaml.parse(load_suite(name).as_yaml(), name)["grid"]
        assert grid == {"lr": [1e-2, 1e-3, 1e-4, 1e-5], "betas": [pair for pair in pairs if pair[0] < 0.999]}
    for name, trials in (("digits", 12), ("pydoc", 10), ("fashion_mnist", 12)):
        labels = [split_label(spec.label)[0] for spec in shipped(f"{name}_grid").optimizers]
        assert {label: labels.count(label) for label in labels} == dict.fromkeys(sizes, trials)
    for name in ("cifar10_sgd", "cifar100_sgd"):
        labels = [spec.name for spec in shipped(f"{name}_grid").optimizers]
        assert {label: labels.count(label) for label in labels} == {"sgd": 16, "sgd_cg": 64, "sgd_cm": 64}
        assert 0 in load_suite(name).settings.grid["momentum"]  # Eq. 10 as it is printed


def test_only_grids_of_suites_that_have_one_ship():
    assert shipped("levy_grid") is None
    assert shipped("nothing_grid") is None
    assert not any(name.endswith("_grid") for name in builtin_suites())
