"""The tables of a grid and the settings that it chooses."""

import io
import random

import pytest
from rich.console import Console

from cmbench import report
from cmbench.experiments import yaml
from cmbench.experiments.grid import load_grid
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report import render
from cmbench.report.table import Cell, Row, RunCounts
from cmbench.report.tables.best_setting import best_setting
from tests.report.results import DATA, result_of, suite_file, trained

SUITE = """
kind: train
description: for the tests
workload: digits
epochs: 2
batch_size: 64
optimizers:
  adam: {}
  mine: {name: adam_cm, weight_decay: 0.1}
grid: {lr: [0.1, 0.01, 0.001], betas: [[0.9, 0.99], [0.9, 0.999]], capacity: [5, 20]}
"""


def row(lr, mean, completed=2, **runs):
    expected = completed + sum(runs.values())
    hyperparameters = {"lr": lr, "eps": 1e-8}
    counts = RunCounts("seeds", completed, expected, **runs)
    return Row(f"lr={lr}", (Cell(mean, n=completed),), "adam", "adam", hyperparameters, counts)


def test_the_best_mean_in_the_given_direction_wins_and_ties_go_to_the_earlier():
    rows = [row(0.1, 80.0), row(0.01, 90.0), row(0.001, 90.0), row(1e-4, 70.0)]
    assert best_setting(rows, 0, "higher").row is rows[1]
    assert best_setting(rows, 0, "lower").row is rows[3]


def test_whatever_the_numbers_the_choice_is_that_of_a_stable_sort():
    generator = random.Random(0)
    for _ in range(100):
        rows = [row(lr, float(generator.randint(0, 5))) for lr in range(8)]
        assert best_setting(rows, 0, "higher").row is sorted(rows, key=lambda r: -r.cells[0].value)[0]
        assert best_setting(rows, 0, "lower").row is sorted(rows, key=lambda r: r.cells[0].value)[0]


@pytest.mark.parametrize("lost", ["diverged", "failed", "interrupted", "missing"])
def test_a_setting_that_lacks_a_seed_is_not_eligible(lost):
    whole, partial = row(0.1, 80.0), row(0.01, 99.0, completed=1, **{lost: 1})
    assert best_setting([whole, partial], 0, "higher").row is whole
    assert best_setting([partial], 0, "higher") is None
    assert best_setting([row(0.1, None)], 0, "higher") is None


def test_the_edge_of_a_numeric_axis_counts_from_three_values_on():
    three = [row(0.1, 1.0), row(0.01, 2.0), row(0.001, 3.0)]
    assert best_setting(three, 0, "higher").edges == ("lr",)
    assert best_setting(three, 0, "lower").edges == ("lr",)
    assert best_setting([*three, row(1e-4, 0.0)], 0, "higher").edges == ()
    assert best_setting(three[:2], 0, "higher").edges == ()
    diverged_beyond = [*three, row(1e-4, None, completed=0, diverged=2)]
    assert best_setting(diverged_beyond, 0, "higher").edges == ()


@pytest.fixture
def grid(tmp_path):
    suite_file(tmp_path, SUITE)
    return load_grid(str(tmp_path / "mine.yaml"))


def results_of(grid, accuracy):
    """Completed runs: `accuracy` of the hyperparameters plus 1 for every second seed; None for none."""
    return [
        trained(spec, value + spec.seed % 2)
        for spec in plan_training(grid, DATA)
        if (value := accuracy(spec.optimizer.hyperparameters)) is not None
    ]


def peak(hyperparameters):
    """Best at lr 0.01 and β₂ 0.999, and the better the larger the buffer."""
    score = {0.1: 50.0, 0.01: 80.0, 0.001: 70.0}[hyperparameters["lr"]]
    return score + 5 * (hyperparameters["betas"][1] == 0.999) + hyperparameters.get("capacity", 0) / 10


def test_every_optimizer_has_a_table_of_its_settings_in_the_order_of_the_grid(grid):
    results = results_of(grid, peak)
    random.Random(0).shuffle(results)
    adam, mine = report.tables(results, suites=[grid])
    assert (adam.title, mine.title) == ("mine_grid: Adam", "mine_grid: Adam+CM (mine)")
    assert [row.title for row in adam.rows] == [
        f"lr={lr} betas=0.9,{beta2}" for lr in ("0.1", "0.01", "0.001") for beta2 in ("0.99", "0.999")
    ]
    assert mine.rows[1].title == "lr=0.1 betas=0.9,0.99 capacity=20"
    assert [row.runs.text for row in mine.rows] == ["2/2"] * 12
    assert adam.rows[3].cells[0].value == pytest.approx(85.5)
    assert [row.cells[0].best for row in adam.rows].index(True) == 3
    assert not any("_vs_" in column.key for column in adam.columns)


def test_without_the_suite_the_rows_are_ordered_by_their_numbers(grid):
    results = results_of(grid, peak)[::-1]
    adam, mine = report.tables(results)
    assert [row.hyperparameters["lr"] for row in adam.rows] == [0.001, 0.001, 0.01, 0.01, 0.1, 0.1]
    assert [row.hyperparameters["capacity"] for row in mine.rows[:2]] == [5, 20]


def test_the_best_settings_are_lines_of_a_suite(grid, tmp_path):
    tables = report.tables(results_of(grid, peak), suites=[grid])
    assert [bool(table.verbatim) for table in tables] == [False, True]
    lines = tables[-1].verbatim
    assert lines[0] == "# Best settings by the mean best val. accuracy % over seeds 1000, 1001;"
    assert lines[1] == "# to be copied below `optimizers:` of the suite mine:"
    assert lines[2:4] == ("  # 85.50 ± 0.71", "  adam: {lr: 0.01, betas: [0.9, 0.999]}")
    pasted = SUITE[: SUITE.index("  adam:")] + "\n".join(lines) + "\n"
    suite = suite_file(tmp_path, pasted, "pasted")
    chosen = {spec.label: (spec.name, spec.hyperparameters) for spec in suite.optimizers}
    best = [spec for spec in grid.optimizers if peak(spec.hyperparameters) in (85.0, 87.0)]
    assert chosen == {
        spec.label.partition(" ")[0]: (spec.name, spec.hyperparameters) for spec in best if "999" in spec.label
    }
    assert len(chosen) == 2


def test_what_lies_at_an_edge_or_cannot_be_chosen_is_said(grid):
    accuracy = lambda h: 100 * h["lr"] if "capacity" not in h else None  # noqa: E731
    results = results_of(grid, accuracy)
    cm = [spec for spec in plan_training(grid, DATA) if spec.optimizer.name == "adam_cm"][:1]
    results += [result_of(spec, "diverged", diverged_step=3) for spec in cm]
    _, mine = report.tables(results, suites=[grid])
    assert mine.verbatim[2] == "  # 10.50 ± 0.71; lr at the edge of its grid"
    assert mine.verbatim[-1] == "  # mine: no setting completed all of its seeds"
    assert [row.title for row in mine.rows] == ["lr=0.1 betas=0.9,0.99 capacity=5"]
    assert mine.footnotes[0] == "1 of 12 settings have results"


def test_a_diverged_seed_keeps_a_setting_from_being_chosen(grid):
    specs = plan_training(grid, DATA)
    lost = next(s for s in specs if s.optimizer.label == "adam lr=0.01 betas=0.9,0.999" and s.seed == 1001)
    results = [r for r in results_of(grid, peak) if (r.id, r.seed) != (lost.id, 1001)]
    adam, mine = report.tables([*results, result_of(lost, "diverged", diverged_step=3)], suites=[grid])
    assert mine.verbatim[3] == "  adam: {lr: 0.01, betas: [0.9, 0.99]}"
    assert "0/2" not in adam.rows[3].runs.text
    assert adam.rows[3].runs.text == "1/2 seeds, 1 diverged"


def test_a_suite_that_is_only_named_like_a_grid_is_none(tmp_path):
    suite = suite_file(tmp_path, SUITE, "my_grid")
    (table,) = report.tables([trained(spec, 90.0) for spec in plan_training(suite, DATA)], suites=[suite])
    assert (table.title, table.verbatim) == ("my_grid", ())


def test_the_suites_own_table_knows_nothing_of_its_grid():
    suite, grid = load_suite("digits"), load_grid("digits")
    results = [trained(spec, 90.0) for spec in (*plan_training(suite, DATA), *plan_training(grid, DATA))]
    tables = report.tables(results)
    assert [table.title for table in tables][:2] == ["digits", "digits_grid: Adam"]
    assert len(tables) == 1 + 5
    assert all(table.differs == () for table in tables)
    assert [len(table.rows) for table in tables] == [5] + [12] * 5


@pytest.mark.parametrize("width", [80, 120])
def test_hundreds_of_rows_fit_a_terminal(width):
    grid = load_grid("ptb")
    tables = report.tables([trained(spec, 90.0) for spec in plan_training(grid, DATA)], suites=[grid])
    text = render(tables, console=Console(width=width, file=io.StringIO()))
    table, _, lines = text.partition("\n# Best settings")
    assert max(map(len, table.splitlines())) <= width
    assert text.count("90.00 ± 0.00") == 864 + 5
    entries = [line for line in lines.splitlines() if line.startswith("  adam")]
    assert len(entries) == 5  # never broken: they are copied
    assert yaml.parse(entries[-1], "test")["adam_sam_cm"]["rho"] == 0.01


@pytest.mark.parametrize("format", ["markdown", "latex", "json"])
def test_every_format_holds_the_lines(grid, format):
    text = render(report.tables(results_of(grid, peak), suites=[grid]), format)
    assert "adam: {lr: 0.01, betas: [0.9, 0.999]}" in text
    assert text.isascii() or format != "latex"


def test_several_hyperparameters_at_their_edges_are_one_remark():
    grid = load_grid("digits", opts=["adam_sam"], sets=["grid={lr: [1, 2, 3], rho: [1, 2, 3]}"])
    results = results_of(grid, lambda h: 10 + h["lr"] - h["rho"])
    (table,) = report.tables(results, suites=[grid])
    assert table.verbatim[2:] == (
        "  # 12.50 ± 0.71; lr and rho at the edge of their grids",
        "  adam_sam: {lr: 3.0, rho: 1.0}",
    )
