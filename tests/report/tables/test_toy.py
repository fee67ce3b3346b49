"""What a table of runs on surfaces says of its starts."""

import numpy
import pytest

from cmbench import report
from cmbench.experiments.plan import plan_landscapes
from tests.report.results import TOY, cell, lanes, result_of, runs_of, suite_file


def test_a_toy_table_averages_over_starts_and_stands_beside_the_paper(tmp_path):
    suite = suite_file(tmp_path, TOY)
    losses, sharp = [1.0, 2.0, 4.0, 9.0], [60.0, 61.0, 64.0, 69.0]
    reached = [True, False, False, True]
    measured = lanes(loss_final=losses, sharpness=sharp, reached_global=reached)
    minima = {"minima": [[-3.129, 132.6], [-0.807, 6.48]]}
    results = [
        result_of(s, lanes=measured, curves=minima if s.settings.surface == "goldstein_price" else {})
        for s in plan_landscapes(suite)
    ]
    price, levy = report.tables(results, suites=[suite])
    assert (price.title, levy.title) == ("mine: goldstein_price", "mine: levy")
    loss = cell(levy, "adam", "loss_final")
    assert (loss.value, loss.spread) == pytest.approx((numpy.mean(losses), numpy.std(losses, ddof=1)))
    assert (loss.n, loss.paper.value) == (4, 13.87)
    assert cell(levy, "adam_cm", "sharpness").paper.value == 62.53
    assert cell(levy, "adam", "reached_global").value == 0.5
    assert "its minima, loss / sharpness: −3.13 / 132.6, −0.81 / 6.5; the deepest is the sharpest" in price.footnotes
    assert any("lie between −3.13 and −0.81" in note for note in price.footnotes)
    assert any("cannot be ends on the logarithmic form" in note for note in price.footnotes)
    assert not any("logarithmic form" in note for note in levy.footnotes)
    assert "distance_to_minimum" not in [column.key for column in levy.columns]


def test_a_start_that_diverged_is_counted_and_has_not_reached_the_minimum(tmp_path):
    suite = suite_file(tmp_path, TOY)
    spec = plan_landscapes(suite)[0]
    values = lanes(
        loss_final=[1.0, None, 3.0, 5.0],
        sharpness=[1.0, None, 1.0, 4.0],
        reached_global=[True, False, True, True],
        loss_best=[1.0, -50.0, 3.0, 5.0],
    )
    table = report.tables([result_of(spec, "diverged", diverged_step=40, lanes=values)], suites=[suite])[0]
    assert runs_of(table, "adam").text == "3/4 starts, 1 diverged @ step 40"
    assert cell(table, "adam", "loss_final").value == 3.0
    assert cell(table, "adam", "sharpness").value == 2.0
    assert cell(table, "adam", "loss_best").value == 3.0
    assert (cell(table, "adam", "reached_global").value, cell(table, "adam", "reached_global").n) == (0.75, 4)
    assert runs_of(table, "adam_cm").text == "0/4 starts, 4 missing"
