"""Escape ratios under each coefficient, by each criterion, with their intervals."""

import numpy
import pytest
from scipy import stats

from cmbench import report
from cmbench.experiments.plan import plan_landscapes
from tests.report.results import ESCAPE, cell, result_of, suite_file


def test_escape_ratios_stand_under_each_coefficient_by_every_criterion_with_their_intervals(tmp_path):
    suite = suite_file(tmp_path, ESCAPE)
    specs = [spec for spec in plan_landscapes(suite) if (spec.optimizer.label, spec.settings.sharpness) != ("adam", 5)]
    escaped = {"adam": [True, False, False, False], "adam_cm": [True, True, True, False]}
    results = [
        result_of(
            spec,
            lanes={
                "escaped_all": escaped[spec.optimizer.label],
                "escaped_nearer": [True] * 4,
                "escaped_reached": [False] * 4,
            },
        )
        for spec in specs
    ]
    (table,) = report.tables(results, suites=[suite])
    criteria = ("escape_ratio_all", "escape_ratio_nearer", "escape_ratio_reached")
    assert [column.key for column in table.columns] == [f"{name} s={s}" for s in (2, 5) for name in criteria]
    one, three = (cell(table, label, "escape_ratio_all s=2") for label in ("adam", "adam_cm"))
    assert (one.value, three.value) == (0.25, 0.75)
    assert one.interval == pytest.approx(wilson(1, 4))
    assert three.best
    assert cell(table, "adam", "escape_ratio_all s=5").notes == ("missing",)
    assert cell(table, "adam", "escape_ratio_nearer s=2").value == 1.0
    assert cell(table, "adam", "escape_ratio_reached s=2").value == 0.0
    assert cell(table, "adam", "escape_ratio_nearer s=2").interval == pytest.approx(wilson(4, 4))


def wilson(k, n, z=stats.norm.ppf(0.975)):
    """The ends of the interval are the ratios p at which the observed one is z standard errors of p away."""
    a, b, c = 1 + z**2 / n, -(2 * k / n + z**2 / n), (k / n) ** 2
    return tuple(sorted(numpy.roots([a, b, c]).real))


def test_starts_that_diverged_have_not_escaped_and_are_counted(tmp_path):
    suite = suite_file(tmp_path, ESCAPE)
    values = {"loss_final": [1.0, 1.0, None, 1.0], "escaped_all": [True, False, False, True]}
    spec = plan_landscapes(suite)[0]
    (table,) = report.tables([result_of(spec, "diverged", diverged_step=9, lanes=values)], suites=[suite])
    found = cell(table, "adam", "escape_ratio_all s=2")
    assert (found.value, found.n, found.notes) == (0.5, 4, ("1 diverged",))


def test_the_caption_says_how_many_starts_are_given_how_many_drawn_and_how_many_the_paper_has(tmp_path):
    text = ESCAPE.replace("starts: 4", "starts: 4\nstart_points: [[1, 2], [3, 4]]")
    suite = suite_file(tmp_path, text + "paper: {figure: 6, starts: 50}\n")
    lanes = {f"escaped_{name}": [True] * 6 for name in ("all", "nearer", "reached")}
    (table,) = report.tables([result_of(spec, lanes=lanes) for spec in plan_landscapes(suite)], suites=[suite])
    assert "2 given starts and 4 starts in [-5, 5] (seed 0; paper: 50)" in table.caption[1]
    assert cell(table, "adam", "escape_ratio_all s=2").n == 6
