"""Means and spreads of curves against numpy's, and what becomes of runs that diverged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cmbench.experiments.plan import plan_training
from cmbench.experiments.result import Cost
from cmbench.experiments.suite import load_suite
from cmbench.report.figures.training.rows import TrainingRuns
from cmbench.report.figures.training.series import mean_and_spread, series_of
from cmbench.report.runs.every_group import every_group
from tests.report.results import DATA, result_of


@given(arrays(float, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=st.floats(-1e3, 1e3)))
def test_mean_and_spread_are_numpys(table):
    mean, spread, n = mean_and_spread(list(table))
    np.testing.assert_allclose(mean, np.mean(table, 0), atol=1e-9)
    np.testing.assert_allclose(spread, np.std(table, 0, ddof=1), atol=1e-6)
    assert n.tolist() == [len(table)] * table.shape[1]


def test_curves_of_different_lengths_and_holes():
    mean, spread, n = mean_and_spread([np.array([1.0, np.nan, 5.0]), np.array([3.0])])
    assert n.tolist() == [2, 0, 1]
    np.testing.assert_allclose(mean, [2, np.nan, 5])
    np.testing.assert_allclose(spread, [np.sqrt(2), np.nan, np.nan])


def runs_of(curves, **others):
    """Runs of `adam` on digits with these curves of `top_eigenvalue`, and further ones by status."""
    specs = plan_training(load_suite("digits", opts=["adam"]), DATA)
    cost = Cost(wall_seconds=3.0, steps=30, gradient_evaluations=30)
    results = [
        result_of(
            specs[seed], curves={"epoch": [1, 2, 3], "train_loss": [3.0, 2, 1], "top_eigenvalue": curve}, cost=cost
        )
        for seed, curve in enumerate(curves)
    ]
    results += [
        result_of(specs[len(curves)], status, curves=curve, diverged_step=15, cost=cost)
        for status, curve in others.items()
    ]
    (group,) = every_group(results)
    return TrainingRuns.of(group)


def test_epochs_without_a_measurement_are_no_part_of_a_curve():
    runs = runs_of([[None, 4.0, None], [None, 6.0, None]])
    (series,) = series_of(runs.rows, "top_eigenvalue", "steps", runs.epoch_steps)
    assert (series.title, series.x.tolist(), series.mean.tolist()) == ("Adam", [20.0], [5.0])
    assert series.spread == pytest.approx([np.sqrt(2)])
    assert [line.y.tolist() for line in series.lines] == [[4.0], [6.0]]
    assert series_of(runs.rows, "buffer_variance", "epochs", runs.epoch_steps) == []


def test_a_diverged_run_is_a_line_that_enters_no_mean():
    runs = runs_of([[1.0, 1.0, 1.0]], diverged={"epoch": [1], "train_loss": [100.0], "top_eigenvalue": [9.0]})
    (series,) = series_of(runs.rows, "top_eigenvalue", "epochs", runs.epoch_steps)
    assert series.mean.tolist() == [1.0, 1.0, 1.0]
    (line,) = series.diverged
    assert (line.y.tolist(), line.diverged_at) == ([9.0], 1.5)


def test_a_run_that_diverged_in_its_first_epoch_is_among_the_training_losses_only():
    runs = runs_of([[1.0, 1.0, 1.0]], diverged={})
    (losses,) = series_of(runs.rows, "train_loss", "epochs", runs.epoch_steps)
    assert [len(line.y) for line in losses.diverged] == [0]
    (sharpness,) = series_of(runs.rows, "top_eigenvalue", "epochs", runs.epoch_steps)
    assert sharpness.diverged == ()


def test_a_failed_run_is_not_drawn_but_counted():
    runs = runs_of([[1.0, 1.0, 1.0]], failed={"epoch": [1], "train_loss": [100.0]})
    (losses,) = series_of(runs.rows, "train_loss", "epochs", runs.epoch_steps)
    assert len(losses.lines) == 1
    assert "Seeds: 1; failed: Adam 1" in runs.text()
