"""`cmbench train --grid` as a user meets it: what runs, where it is kept, what it says is best."""

from statistics import mean

import pytest

from cmbench.experiments import yaml

FEW = ("train", "--suite", "digits", "--opt", "adam", "--opt", "adam_cm", "--grid")
FEW += ("--set", "epochs=1", "--set", "schedule=constant", "--set", "grid={lr: [1e-2, 1e-4, 1e9], capacity: [2, 5]}")


@pytest.fixture(scope="module")
def searched(shared_cmbench):
    return shared_cmbench, shared_cmbench(*FEW, code=3)  # lr=1e9 diverges


def test_it_says_how_much_there_is_and_keeps_it_apart_from_the_suite(searched):
    cmbench, done = searched
    assert done.stderr.splitlines()[0] == "digits_grid: 9 settings × 2 seeds = 18 runs"
    assert {r["suite"]["name"] for r in cmbench.results()} == {"digits_grid"}
    assert {r["seed"] for r in cmbench.results()} == {1000, 1001}
    folders = {path.parent.name for path in cmbench.files("results/digits_grid/**/*.json")}
    assert len(folders) == 3 + 6
    assert "adam_cm_lr=0.0001_betas=0.9,0.99_capacity=2" in folders
    assert "no results of suite 'digits'" in cmbench("report", "--suite", "digits", code=4).stderr


def test_the_lines_below_the_tables_are_the_best_of_the_stored_results(searched):
    cmbench, done = searched
    lines = done.stdout[done.stdout.index("# Best settings") :]
    for name, entry in yaml.parse(lines, "stdout").items():
        means = {}
        for result in cmbench.results():
            if result["optimizer"]["name"] == name and result["status"] == "completed":
                hyperparameters = result["optimizer"]["hyperparameters"]
                key = (hyperparameters["lr"], hyperparameters.get("capacity"))
                means.setdefault(key, []).append(result["metrics"]["val_accuracy_best"])
        best = max(means, key=lambda key: mean(means[key]))
        assert (entry["lr"], entry.get("capacity")) == best
        assert entry["betas"] == [0.9, 0.99]
    assert "diverged" in done.stdout


def test_a_report_prints_the_same_and_a_second_run_nothing_new(searched):
    cmbench, done = searched
    again = cmbench(*FEW, code=3)
    assert again.stdout == done.stdout
    assert "18 runs were finished before" in again.stderr
    # The values of an overridden grid are in the order of the command line there, by size here.
    report = cmbench("report", "--suite", "digits_grid").stdout
    assert sorted(report.splitlines()) == sorted(done.stdout.splitlines())


def test_seeds_can_be_counted_or_named(cmbench):
    one = ("train", "--suite", "digits", "--opt", "adam", "--grid")
    one += ("--set", "epochs=1", "--set", "schedule=constant", "--set", "grid={lr: [1e-2, 1e-3]}")
    done = cmbench(*one, "--seeds", "1")
    assert done.stderr.startswith("digits_grid: 2 settings × 1 seed = 2 runs")
    assert "over seed 1000;" in done.stdout
    assert "over seed 7;" in cmbench(*one, "--seed", "7", "--quiet").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "digits", "--grid", "--set", "grid.lrr=[1]"], "did you mean 'lr'"),
        (["--suite", "digits", "--grid", "--set", "grid={}"], "digits.yaml: grid: missing"),
        (["--suite", "digits", "--grid", "--set", "grid={rho: [1]}", "--opt", "adam"], "no chosen optimizer (adam)"),
        (["--suite", "digits", "--grid", "--set", "workload=digitz"], "digits.yaml: workload"),
        (["--suite", "levy", "--grid"], "this command runs 'train' suites"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_written(cmbench, arguments, words):
    done = cmbench("train", *arguments, code=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert cmbench.files() == []


def test_suites_prints_the_grid_and_a_report_says_how_to_get_one(cmbench):
    printed = yaml.parse(cmbench("suites", "digits").stdout, "stdout")
    assert printed["grid"] == {"lr": [3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4], "betas": [[0.9, 0.99], [0.9, 0.999]]}
    done = cmbench("report", "--suite", "digits_grid", code=4)
    assert "to get them: cmbench train --suite digits --grid" in done.stderr
