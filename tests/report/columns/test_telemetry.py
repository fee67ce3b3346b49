"""What telemetry recorded, as columns of the table of training runs."""

from __future__ import annotations

import numpy as np
import pytest

from cmbench import report
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report.columns.telemetry import RECORDED, last_until
from tests.report.results import DATA, cell, result_of

NOT_DUE = {"top_eigenvalue": [[None, 4.0, None, 8.0], [None, 5.0, None, 11.0]]}
EVERY_EPOCH = {"gradient_norm": [[1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 9.0]]}


def table_of(curves, epochs_best=(3, 3)):
    """The table of two runs of Adam with these curves."""
    specs = plan_training(load_suite("digits", opts=["adam"]), DATA)
    results = [
        result_of(
            specs[seed],
            curves={"epoch": [1, 2, 3, 4]} | {name: values[seed] for name, values in curves.items()},
            metrics={"val_accuracy_best": 90.0, "epoch_best": epochs_best[seed]},
        )
        for seed in range(2)
    ]
    (table,) = report.tables(results)
    return table


@pytest.mark.parametrize(("curves", "best", "final"), [
    (EVERY_EPOCH, [3.0, 6.0], [4.0, 9.0]),
    (NOT_DUE, [4.0, 5.0], [8.0, 11.0]),  # nothing was measured in the third epoch: what was in the second
])  # fmt: skip
def test_a_curve_stands_at_the_best_epoch_and_at_the_end(curves, best, final):
    table, (name,) = table_of(curves), curves
    for when, values in (("best", best), ("final", final)):
        found = cell(table, "adam", f"{name}_{when}")
        assert (found.value, found.spread) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        assert found.n == 2


def test_the_best_epoch_is_that_of_each_run():
    found = cell(table_of(EVERY_EPOCH, epochs_best=(1, 4)), "adam", "gradient_norm_best")
    assert found.value == pytest.approx((1.0 + 9.0) / 2)


def test_what_was_not_recorded_has_no_column_and_what_was_stands_last():
    keys = [column.key for column in table_of(EVERY_EPOCH).columns]
    assert keys[-2:] == ["gradient_norm_best", "gradient_norm_final"]
    assert not any(key.startswith(("buffer", "m_sharpness", "top_eigenvalue")) for key in keys)


def test_nothing_was_measured_before_the_first_time():
    assert last_until([None, 4.0], 1) is None
    assert last_until([None, 4.0], None) is None
    assert last_until([], 3) is None


def test_every_name_is_recorded_once():
    assert len({recorded.name for recorded in RECORDED}) == len(RECORDED)
