"""`cmbench sweep` as a user meets it: one budget for all, runs of the store as trials, and what it ends with."""

import json
import shutil
import sys
from itertools import combinations
from statistics import mean

import pytest

from cmbench.experiments import yaml
from cmbench.experiments.suite import load_suite
from tests.conftest import Command

BRIEF = ("--set", "epochs=1", "--set", "schedule=constant")
DIGITS = ("sweep", "--suite", "digits", "--opt", "adam", "--opt", "adam_cm", *BRIEF)
SPACE = "space={lr: {log: [1e-4, 3e-2]}, betas: [[0.9, 0.99], [0.9, 0.999]], capacity: [2, 5]}"
SEARCH = (*DIGITS, "--set", SPACE, "--trials", "3")


def grid(values):
    return (*DIGITS, "--set", f"space={{lr: {values}}}", "--sampler", "grid")


@pytest.fixture(scope="module")
def searched(shared_cmbench):
    done = shared_cmbench(*SEARCH, "--save", "best.yaml", "--plot", "best.png")
    return shared_cmbench, done, json.loads(shared_cmbench(*SEARCH, "--json").stdout)


def test_every_optimizer_gets_as_many_trials_and_they_are_runs_of_the_store(searched):
    cmbench, _, found = searched
    assert {each["label"]: len(each["trials"]) for each in found["optimizers"]} == {"adam": 3, "adam_cm": 3}
    assert found["same_budget"]
    results = cmbench.results()
    assert len(results) == 2 * 3 * 2
    assert {(r["suite"]["name"], r["seed"]) for r in results} == {("digits_sweep", 1000), ("digits_sweep", 1001)}
    for each in found["optimizers"]:
        for trial in each["trials"]:
            values = [
                result["metrics"]["val_accuracy_best"]
                for result in sorted(results, key=lambda result: result["seed"])
                if result["optimizer"]["name"] == each["label"]
                and all(
                    result["optimizer"]["hyperparameters"][name] == trial["setting"][name] for name in each["space"]
                )
            ]
            assert trial["values"] == values
            assert trial["value"] == pytest.approx(mean(values))
    assert "capacity" not in found["optimizers"][0]["space"]


def test_the_best_setting_is_that_of_the_best_mean_and_a_suite_to_copy(searched):
    cmbench, done, found = searched
    lines = done.stdout[done.stdout.index("# Best settings") : done.stdout.index("digits_sweep: expected best")]
    assert lines.strip() == found["best_settings"].strip() or found["best_settings"].strip() in lines
    copied = yaml.parse(lines, "stdout")["optimizers"]
    saved = load_suite(str(cmbench.folder / "best.yaml"))
    for each in found["optimizers"]:
        best = max(each["trials"], key=lambda trial: trial["value"])
        assert each["best"] == best["number"]
        (spec,) = [spec for spec in saved.optimizers if spec.label == each["label"]]
        for name, value in best["setting"].items():
            assert copied[each["label"]][name] == value
            assert spec.hyperparameters[name] == (tuple(value) if isinstance(value, list) else value)
    assert (saved.settings.seeds, saved.settings.epochs, saved.settings.kind) == (5, 1, "train")
    assert saved.settings.paper is None


def test_the_fragment_makes_a_suite_that_loads(searched):
    cmbench, _, found = searched
    content = {"kind": "train", "description": "d", "workload": "digits", "epochs": 1, "batch_size": 64}
    (cmbench.folder / "own.yaml").write_text(yaml.dump(content | yaml.parse(found["best_settings"], "json")))
    assert [spec.label for spec in load_suite(str(cmbench.folder / "own.yaml")).optimizers] == ["adam", "adam_cm"]


def test_the_expected_best_of_k_is_that_of_all_choices(searched):
    _, done, found = searched
    for each in found["optimizers"]:
        values = [trial["value"] for trial in each["trials"]]
        expected = [mean(max(chosen) for chosen in combinations(values, k)) for k in (1, 2, 3)]
        assert each["expected_best_of"] == pytest.approx(expected)
    assert "expected best of k trials" in done.stdout
    assert "no importances for adam, adam_cm: fewer than 10 trials completed" in done.stdout.replace("\n ", " ")


def test_the_same_command_trains_nothing_and_prints_the_same(searched):
    cmbench, done, _ = searched
    again = cmbench(*SEARCH)
    assert again.stdout == done.stdout
    assert "seed 1000:" not in again.stderr
    assert (cmbench.folder / "best.png").read_bytes()[:4] == b"\x89PNG"


def test_more_trials_go_on_where_it_ended(searched, tmp_path):
    first, _, found = searched
    # A folder of its own: the other tests read what the first command has left.
    cmbench = Command(shutil.copytree(first.folder, tmp_path / "copy"))
    more = cmbench(*SEARCH[:-1], "4", "--json")
    trials = [each["trials"] for each in json.loads(more.stdout)["optimizers"]]
    assert [each[:3] for each in trials] == [each["trials"] for each in found["optimizers"]]
    assert [len(each) for each in trials] == [4, 4]
    assert more.stderr.count("seed 1000: val accuracy") == 2


def test_runs_that_are_there_cost_nothing(cmbench):
    cmbench("train", "--suite", "digits", "--grid", "--opt", "adam", *BRIEF, "--set", "grid={lr: [1e-2, 1e-3]}")
    done = cmbench(*grid("[1e-2, 1e-3, 1e-4]"), "--opt", "adam", "--json")
    adam = json.loads(done.stdout)["optimizers"][0]
    assert [trial["runs_found"] for trial in adam["trials"]] == [2, 2, 0]
    assert "equals digits_grid/adam lr=0.01 betas=0.9,0.99, taken over from there" in done.stderr


def test_a_grid_as_printed_says_that_the_budgets_differ_and_trials_make_them_equal(cmbench):
    space = ("--set", "space={lr: [1e-2, 1e-3], capacity: [2, 5]}", "--sampler", "grid")
    done = cmbench(*DIGITS, *space)
    text = " ".join(done.stdout.split())
    assert "NOT the same budget: adam got 2 trials, adam_cm 4;" in text
    plan = "digits_sweep: adam 2 trials, adam_cm 4 trials, × 2 seeds; NOT the same budget (--trials N gives one)"
    assert done.stderr.startswith(plan)
    same = cmbench(*DIGITS, *space, "--trials", "2")
    assert "NOT the same budget" not in same.stdout
    assert same.stderr.startswith("digits_sweep: 2 trials each for 2 optimizers in turn, × 2 seeds")
    assert "seed 1000: val" not in same.stderr  # they are among those of the whole grid


def test_a_diverged_trial_is_kept_and_counts_as_the_worst(cmbench):
    done = cmbench(*grid("[1e-2, 1e9]"), "--json", code=3)
    arms = json.loads(done.stdout)["optimizers"]
    worst = min(arm["trials"][0]["value"] for arm in arms)
    for arm in arms:
        good, lost = arm["trials"]
        assert (good["state"], lost["state"], lost["value"], arm["best"]) == ("completed", "diverged", None, 0)
        assert arm["expected_best_of"] == pytest.approx([(good["value"] + worst) / 2, good["value"]])
    text = " ".join(cmbench(*grid("[1e-2, 1e9]"), code=3).stdout.split())
    assert "a trial of which a seed diverged or failed counts as the worst of all" in text


def test_a_best_value_at_the_edge_says_which_way_to_go(cmbench):
    done = cmbench(*grid("[1e-5, 1e-4, 1e-2]"), "--opt", "adam")
    text = " ".join(done.stdout.split())
    assert "adam: the best lr, 0.01, is at the upper end of its range: greater values were not tried" in text


def test_settings_of_the_suite_are_tried_and_saved(cmbench):
    space = "space={batch_size: [32, 64], schedule.gamma: [0.5]}"
    options = ("--set", "schedule={name: step, milestones: [1]}", "--sampler", "grid", "--save", "best.yaml", "--json")
    found = json.loads(cmbench(*DIGITS, "--set", space, *options).stdout)
    assert {r["settings"]["batch_size"] for r in cmbench.results()} == {32, 64}
    chosen = {each["label"]: each["trials"][each["best"]]["setting"]["batch_size"] for each in found["optimizers"]}
    if len(set(chosen.values())) == 1:
        (size,) = set(chosen.values())
        saved = load_suite(str(cmbench.folder / "best.yaml"))
        assert (saved.settings.batch_size, saved.settings.schedule.gamma) == (size, 0.5)
        assert f"batch_size: {size}" in found["best_settings"]
    else:
        for label, size in chosen.items():
            saved = load_suite(str(cmbench.folder / f"best_batch_size={size}_schedule.gamma=0.5.yaml"))
            assert saved.settings.batch_size == size
            assert label in [spec.label for spec in saved.optimizers]


def test_importances_are_shares_and_the_axis_that_matters_has_the_most(cmbench):
    space = "space={lr: {log: [1e-5, 1e-2]}, eps: {log: [1e-9, 1e-8]}}"
    done = cmbench(
        *DIGITS, "--opt", "adam", "--set", space, "--trials", "12", "--sampler", "random", "--seeds", "1", "--json"
    )
    adam = json.loads(done.stdout)["optimizers"][0]
    assert sum(adam["importances"].values()) == pytest.approx(1)
    assert adam["importances"]["lr"] > 0.7


def test_trials_that_are_behind_are_pruned_and_counted(cmbench):
    space = "space={lr: [1e-2, 1e-6, 1e-7]}"
    options = ("--set", space, "--sampler", "grid", "--prune", "--set", "epochs=4", "--set", "schedule=constant")
    done = cmbench("sweep", "--suite", "digits", "--opt", "adam", *options, "--json")
    adam = json.loads(done.stdout)["optimizers"][0]
    assert [trial["state"] for trial in adam["trials"]] == ["completed", "pruned", "pruned"]
    cmbench("report")  # what was cut short on purpose is not missing
    assert adam["best"] == 0
    statuses = [result["status"] for result in cmbench.results()]
    assert (statuses.count("completed"), statuses.count("interrupted")) == (2, 2)


def test_hours_end_it(cmbench):
    found = json.loads(cmbench(*SEARCH[:-2], "--hours", "0", "--json").stdout)
    assert [len(each["trials"]) for each in found["optimizers"]] == [0, 0]
    assert "No trial completed" in cmbench(*SEARCH[:-2], "--hours", "0").stdout
    half_a_minute = str(0.5 / 60)
    found = json.loads(cmbench(*DIGITS, "--set", "space={lr: [1e-2, 1e-3]}", "--hours", half_a_minute, "--json").stdout)
    counts = [len(each["trials"]) for each in found["optimizers"]]
    assert max(counts) - min(counts) <= 1


def test_table_8_as_printed_says_how_unequal_it_is_before_it_needs_any_data(cmbench, tmp_path):
    done = cmbench("sweep", "--suite", "cifar10", "--sampler", "grid", "--data-dir", str(tmp_path), code=2)
    assert done.stderr.startswith("cifar10_sweep: adam 36 trials, adam_cg 144 trials, adam_sam 108 trials, ")
    assert "adam_sam_cm 432 trials, × 2 seeds; NOT the same budget" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "digits", "--trials", "1", "--hours", "1"], "--trials and --hours: accepted: one of them"),
        (["--suite", "digits", "--set", "space.lrr=[1]"], "did you mean 'lr'"),
        (["--suite", "digits", "--set", "grid={}", "--set", "space={}"], "digits.yaml: space: missing"),
        (
            ["--suite", "digits", "--set", "space={lr: {log: [1e-4, 1]}}", "--sampler", "grid"],
            "accepted with --sampler",
        ),
        (["--suite", "digits", "--storage", "mysql://h/d"], "accepted: sqlite:///FILE"),
        (["--suite", "digits", "--plot", "best.txt"], "--plot best.txt"),
        (["--suite", "digits_online", "--prune", "--set", "grid={lr: [1, 2]}"], "--prune: not on a stream of tasks"),
        (["--suite", "table4"], "accepted: one of them, five_datasets_online, tinyimagenet_online"),
        (["--suite", "levy"], "this command runs 'train' suites"),
    ],
)
def test_a_mistake_is_one_message_and_no_run(cmbench, arguments, words):
    done = cmbench("sweep", *arguments, code=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert cmbench.results() == []


def test_without_optuna_it_says_what_to_install(cmbench, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert 'pip install "cmbench[sweep]"' in cmbench(*SEARCH, code=2).stderr


def test_it_does_not_run_under_torchrun(cmbench, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    assert "not under torchrun" in cmbench(*SEARCH, code=2).stderr
