"""Time to a target and performance profiles, against counting by numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmbench.experiments.plan import plan_training
from cmbench.experiments.result import Cost
from cmbench.experiments.suite import load_suite
from cmbench.report.figures.training.targets import (
    Target,
    cost_to,
    median_target,
    performance_profile,
    share_reached,
)
from tests.report.results import DATA, result_of

SPECS = plan_training(load_suite("digits", opts=["adam"]), DATA)
COSTS = st.lists(st.none() | st.floats(1, 100), min_size=1, max_size=8)


def run(curve, status="completed"):
    cost = Cost(wall_seconds=1.0, steps=10 * len(curve), gradient_evaluations=20 * len(curve))
    curves = {"epoch": list(range(1, len(curve) + 1)), "val_accuracy": curve}
    return result_of(SPECS[0], status, curves=curves, cost=cost)


@pytest.mark.parametrize(("direction", "curve", "index"), [
    ("higher", [80.0, None, 90.0, 95.0], 2),
    ("higher", [80.0, 89.9], None),
    ("lower", [120.0, 90.0, 80.0], 1),
    ("lower", [None, 91.0], None),
])  # fmt: skip
def test_the_first_value_that_is_good_enough(direction, curve, index):
    assert Target("val_accuracy", 90.0, direction).first(curve) == index


@pytest.mark.parametrize(("axis", "expected"), [("epochs", 2), ("steps", 20), ("gradients", 40)])
def test_what_a_run_spends_until_it_is_there(axis, expected):
    target = Target("val_accuracy", 90.0, "higher")
    assert cost_to(target, run([80.0, 92.0, 91.0]), axis, 10.0) == expected
    assert cost_to(target, run([80.0, 89.0]), axis, 10.0) is None


def test_the_median_is_one_that_half_of_the_runs_reach():
    runs = [run([50.0, best, 40.0]) for best in (70.0, 80.0, 90.0, 95.0)] + [run([99.0], "diverged")]
    target = median_target("val_accuracy", "higher", runs)
    assert target.value == 80.0  # the easier of the two in the middle; what diverged does not set it
    assert sum(target.first(r.curves["val_accuracy"]) is not None for r in runs[:4]) >= 2
    assert median_target("val_accuracy", "lower", runs).value == 40.0
    assert median_target("val_loss", "lower", runs) is None


@given(COSTS)
def test_the_share_that_has_reached_it_is_a_count(costs):
    x, share = share_reached(costs)
    spent = np.array([np.inf if cost is None else cost for cost in costs])
    assert share[0] == 0
    for place in x[1:]:
        assert share[x <= place][-1] == pytest.approx(np.mean(spent <= place))
    assert share[-1] == pytest.approx(np.mean(np.isfinite(spent)))


@given(st.integers(1, 6).flatmap(lambda n: st.lists(
    st.lists(st.none() | st.floats(1, 100), min_size=n, max_size=n), min_size=2, max_size=4)))  # fmt: skip
def test_a_profile_is_the_share_of_problems_within_a_factor_of_the_best(table):
    profile = performance_profile({str(solver): row for solver, row in enumerate(table)})
    costs = np.array([[np.inf if cost is None else cost for cost in row] for row in table])
    for solver, row in enumerate(costs):
        tau, rho = profile[str(solver)]
        assert tau[0] == 1
        for factor, share in zip(tau, rho, strict=True):
            solved = [
                bool(np.isfinite(own)) and own / min(column) <= factor for own, column in zip(row, costs.T, strict=True)
            ]
            assert share == pytest.approx(np.mean(solved))
        assert rho[-1] == pytest.approx(np.mean(np.isfinite(row)))


def test_a_profile_by_hand():
    profile = performance_profile({"a": [10.0, 20.0, None, None], "b": [20.0, 20.0, 5.0, None]})
    assert [array.tolist() for array in profile["a"]] == [[1.0, 1.0], [0.5, 0.5]]
    assert [array.tolist() for array in profile["b"]] == [[1.0, 1.0, 2.0], [0.5, 0.5, 0.75]]
    with pytest.raises(ValueError, match="same problems"):
        performance_profile({"a": [1.0], "b": [1.0, 2.0]})
