"""What the page draws, computed a second way."""

import numpy as np
import pytest

from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report.page.curves import learning_curves
from cmbench.report.page.numbers import short, thinned
from cmbench.report.page.paths import ranks
from cmbench.report.page.spectra import spectra
from cmbench.report.tables.build import grouped_tables
from tests.report.results import DATA, result_of, sharpness_of, trained


def group_of(results):
    (each,) = grouped_tables(results)
    return each.group


def run(spec, losses, **fields):
    curves = {"epoch": list(range(1, len(losses) + 1)), "train_loss": losses}
    return trained(spec, 90.0).model_copy(update={"curves": curves, **fields})


def test_curves_are_means_with_one_deviation_over_completed_seeds_only():
    specs = [spec for spec in plan_training(load_suite("digits"), DATA) if spec.optimizer.label == "adam"][:3]
    losses = [[4.0, 2.0], [2.0, 1.0], [900.0, 900.0]]
    lost = {"status": "diverged", "diverged_step": 5}
    results = [
        run(spec, own, **(lost if i == 2 else {})) for i, (spec, own) in enumerate(zip(specs, losses, strict=True))
    ]
    (line,) = learning_curves(group_of(results))["lines"]
    assert line["curves"]["train_loss"]["mean"] == [3, 1.5]
    deviation = 2**0.5, 0.5**0.5  # of two values d apart: d/√2
    assert line["curves"]["train_loss"]["low"] == pytest.approx([3 - deviation[0], 1.5 - deviation[1]], rel=1e-4)
    assert line["curves"]["train_loss"]["high"] == pytest.approx([3 + deviation[0], 1.5 + deviation[1]], rel=1e-4)
    assert (line["seeds"], line["lost"]) == (2, 1)
    assert line["per_epoch"]["steps"] == 50  # 100 steps in 2 epochs


def test_a_value_that_is_not_finite_leaves_a_gap():
    spec, other = [s for s in plan_training(load_suite("digits"), DATA) if s.optimizer.label == "adam"][:2]
    (line,) = learning_curves(group_of([run(spec, [1.0, None]), run(other, [3.0, None])]))["lines"]
    assert line["curves"]["train_loss"]["mean"] == [2, None]


def test_nothing_is_drawn_where_no_run_completed():
    spec = plan_training(load_suite("digits"), DATA)[0]
    assert learning_curves(group_of([result_of(spec, "failed", error="no memory")])) is None
    assert learning_curves(group_of([trained(spec, 90.0)])) is None  # nor where it recorded nothing


def test_heights_are_shares_of_the_area_that_lies_lower():
    heights = np.array([[1e9, 1.0], [np.nan, 2.0]])
    assert ranks(heights) == [[833, 167], [None, 500]]  # middles of thirds
    assert ranks(np.zeros((1, 2))) == [[500, 500]]


def test_spectra_are_densities_of_measurements_that_hold_one():
    spec = plan_training(load_suite("digits"), DATA)[0]
    measured = sharpness_of(trained(spec, 90.0), 0.5, metric="spectrum")
    assert spectra([measured]) is None
    nodes = {"nodes": [-1.0, 0.5, 2.0], "weights": [0.2, 0.7, 0.1]}
    (line,) = spectra([measured.model_copy(update={"curves": nodes})])["lines"]
    assert line["eigenvalues"] == sorted(line["eigenvalues"])
    assert np.trapezoid([y or 0 for y in line["density"]], line["eigenvalues"]) == pytest.approx(1, abs=0.01)
    assert line["name"] == "Adam, seed 0"


def test_numbers_are_short_and_ends_are_kept():
    assert [short(x) for x in (1 / 3, 100.0, 123456.7, float("inf"), None)] == [0.33333, 100, 123460, None, None]
    assert list(thinned(1000, 3)) == [0, 500, 999]
    assert list(thinned(2, 9)) == [0, 1]
