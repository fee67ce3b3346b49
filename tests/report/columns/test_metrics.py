"""A metric of any name is shown, marked and compared by the direction that its results give it."""

from __future__ import annotations

import pytest

from cmbench import report
from cmbench.experiments.plan import plan_training
from cmbench.experiments.result import JudgedBy
from cmbench.experiments.suite import load_suite
from cmbench.report.compare.cells import changes
from cmbench.report.compare.sides import read_side
from tests.report.results import DATA, cell, result_of, save

WOBBLE = (0.011, -0.007, 0.003, -0.012, 0.005)


def runs(metric, means, better=None):
    """Runs of wine that are judged by `metric`, of the means that the labels have."""
    specs = [spec for spec in plan_training(load_suite("wine"), DATA) if spec.label in means]
    judged_by = JudgedBy(metric=metric, better=better) if better else None
    return specs, [
        result_of(
            spec,
            judged_by=judged_by,
            metrics={
                f"val_{metric}_best": means[spec.label] + WOBBLE[(spec.seed + len(spec.label)) % 5],
                f"val_{metric}_final": 0.5,
            },
        )
        for spec in specs
    ]


@pytest.mark.parametrize(
    ("metric", "better", "title", "direction", "best"),
    [
        ("r2", None, "best val. R²", "higher", "adam_cm"),
        ("rmse", None, "best val. RMSE", "lower", "adam"),
        ("auc", "higher", "best val. AUC", "higher", "adam_cm"),
        ("f1", "higher", "best val. macro F1", "higher", "adam_cm"),
        ("mean_absolute_error", "lower", "best val. mean absolute error", "lower", "adam"),
        ("of_mine", "higher", "best val. of mine", "higher", "adam_cm"),
    ],
)
def test_a_table_has_it_first_with_its_title_and_marks_its_best(metric, better, title, direction, best):
    (table,) = report.tables(runs(metric, {"adam": 0.25, "adam_cm": 0.75}, better)[1])
    first = table.columns[0]
    assert (first.key, first.title, first.direction) == (f"val_{metric}_best", title, direction)
    marked = [row.label for row in table.rows if row.cells[0].best]
    assert marked == [best]
    assert cell(table, "adam_cm", f"val_{metric}_best").value == pytest.approx(0.75)
    assert cell(table, "adam_cm", f"val_{metric}_final").value == 0.5


def test_its_differences_are_printed_with_as_many_digits_as_itself():
    text = report.render(report.tables(runs("r2", {"adam": 0.25, "adam_cm": 0.2534}, "higher")[1]), "markdown")
    assert "+0.0034 [" in text


@pytest.mark.parametrize(("better", "change"), [("lower", "regressed"), ("higher", "improved")])
def test_a_comparison_knows_which_way_is_better_from_results_and_from_a_baseline(better, change, tmp_path):
    for name, shift in (("before", 0.0), ("after", 0.5)):
        specs, results = runs("of_mine", {"adam": 1 + shift}, better)
        results = [
            result.model_copy(
                update={"metrics": {"val_of_mine_best": result.metrics["val_of_mine_best"] * (1 + shift)}}
            )
            for result in results
        ]
        save(tmp_path / name, specs, results)
    before, after = (read_side(tmp_path / name) for name in ("before", "after"))
    before.save(tmp_path / "baseline.json")
    for base in (before, read_side(tmp_path / "baseline.json")):
        (found,) = changes(base, after, {"val_of_mine": 0.1})
        assert (found.metric, found.better, found.change) == ("val_of_mine_best", better, change)
