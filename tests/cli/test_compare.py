"""`cmbench compare` as a gate: what it prints, writes and exits with; and how seldom it cries wolf."""

from __future__ import annotations

import json
import shutil

import pytest
from junitparser import Failure, JUnitXml, Skipped

from cmbench.optim.memories import CriticalMomenta

SHORT = ("--set", "schedule=constant", "--quiet")


@pytest.fixture
def two(cmbench):
    """`base`, and `results` in which Adam+CM has another learning rate."""
    toy = ("toy", "--surface", "levy", "--starts", 60, "--steps", 60, "--opt", "adam", "--opt", "adam_cm", "--quiet")
    cmbench(*toy, "--out", "base")
    cmbench(*toy, "--set", "optimizers.adam_cm.lr=0.001")
    return cmbench


def test_a_regression_exits_1_and_is_said_everywhere(two):
    done = two("compare", "base", "--summary", "out/summary.md", "--junit", "out/junit.xml", code=1)
    assert done.stdout.startswith("regressed\n")
    assert "lr 0.1 → 0.001" in " ".join(done.stdout.split())
    assert "| levy adam\\_cm levy" in (two.folder / "out/summary.md").read_text()
    cases = {case.name: case.result for suite in JUnitXml.fromfile(str(two.folder / "out/junit.xml")) for case in suite}
    assert isinstance(failure := cases["adam_cm levy loss_final"][0], Failure)
    assert failure.message.count("regressed") == 1
    assert "could see ±" in failure.message
    assert cases["adam levy loss_final"] == []
    document = json.loads(two("compare", "base", "--json", code=1).stdout)
    assert document["schema"] == "cmbench.compare/1"
    by_cell = {(cell["label"], cell["metric"]): cell for cell in document["cells"]}
    assert by_cell["adam_cm", "loss_final"]["change"] == "regressed"
    low, high = by_cell["adam_cm", "loss_final"]["interval"]
    assert 0 < low < by_cell["adam_cm", "loss_final"]["difference"] < high
    assert by_cell["adam", "loss_final"]["change"] == "identical"
    two("compare", "base", "--fail-on", "never")


def test_a_baseline_file_stands_for_the_folder_it_was_saved_from(two):
    assert "baseline.json: 2 runs of base" in two("compare", "--save", "baseline.json", "base").stdout
    assert two("compare", "baseline.json", "base").stdout.startswith("6 identical")
    direct = two("compare", "base", "results", "--json", code=1).stdout
    assert two("compare", "baseline.json", "results", "--json", code=1).stdout == direct
    assert (two.folder / "baseline.json").stat().st_size < 20_000


def test_what_cannot_be_compared_fails_where_that_is_asked(two):
    shutil.rmtree(two.folder / "results" / "levy" / "adam_cm")
    done = two("compare", "base", "--junit", "junit.xml")
    assert "incomplete\n" in done.stdout
    cases = {case.name: case.result for suite in JUnitXml.fromfile(str(two.folder / "junit.xml")) for case in suite}
    assert isinstance(cases["adam_cm levy loss_final"][0], Skipped)
    two("compare", "base", "--fail-on", "incomplete", code=1)
    two("compare", "base", "--tolerance", "loss_final=1e9", "--fail-on", "incomplete", code=1)


@pytest.mark.parametrize(("arguments", "code", "message"), [
    ((), 2, "compare: missing: BASE"),
    (("nothing",), 2, "nothing: no such results folder or baseline file"),
    (("base", "--tolerance", "loss"), 2, "accepted: METRIC=NUMBER"),
    (("base", "--suite", "levi"), 4, "base: no results of levi"),
    (("baseline.json", "--suite", "table2"), 4, "baseline.json: no results of table2"),
    (("base", "results", "--save", "x.json"), 2, "--save: accepted: one results folder"),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_exit_code(two, arguments, code, message):
    two("compare", "base", "--save", "baseline.json")
    assert message in two("compare", *arguments, code=code).stderr


REPETITIONS = 20


@pytest.mark.long
def test_other_starts_of_the_same_code_are_no_regression(cmbench):
    toy = ("toy", "--suite", "table1", "--starts", 100, "--quiet")
    cmbench(*toy, "--out", "base")
    alarms = 0
    for seed in range(1, REPETITIONS + 1):
        cmbench(*toy, "--seed", seed, "--out", f"r{seed}")
        alarms += cmbench.run("compare", "base", f"r{seed}").returncode
    assert alarms <= 1


@pytest.mark.long
def test_other_seeds_of_the_same_code_are_no_regression(cmbench):
    train = ("train", "--suite", "digits", "--opt", "adam", "--opt", "adam_cm", *SHORT, "--set", "epochs=1")
    cmbench(*train, "--out", "base")
    alarms = 0
    for repetition in range(REPETITIONS):
        seeds = [part for seed in range(5) for part in ("--seed", 100 + 5 * repetition + seed)]
        cmbench(*train, *seeds, "--out", f"r{repetition}")
        alarms += cmbench.run("compare", "base", f"r{repetition}").returncode
    assert alarms <= 1


@pytest.mark.long
def test_a_broken_optimizer_is_a_regression(cmbench, monkeypatch):
    python = ("--set", "implementation=foreach")  # what is broken is not the native step
    train = ("train", "--suite", "digits", "--opt", "adam", "--opt", "adam_cm", *SHORT, "--set", "epochs=5", *python)
    cmbench(*train, "--out", "base")
    breaks(monkeypatch)
    cmbench(*train)
    cells = json.loads(cmbench("compare", "base", "--json", code=1).stdout)["cells"]
    found = {(cell["label"], cell["metric"]): cell for cell in cells}
    assert found["adam", "val_accuracy_best"]["change"] == "identical"
    assert found["adam_cm", "val_accuracy_best"]["change"] == "regressed"
    assert found["adam_cm", "val_accuracy_best"]["n"] == 5  # every run has completed


def breaks(monkeypatch):
    """Adam+CM subtracts the mean of its memory, which it should add: m − mean = 2·m − (m + mean)."""

    def direction(self, rule, aggregate, state, n):
        return state["exp_avg"].mul(2.0).sub_(aggregate)

    monkeypatch.setattr(CriticalMomenta, "direction", direction)
