"""Numbers that a sweep ends with, each computed in a second way."""

import itertools
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmbench.experiments.sweep.axes import axis_of
from cmbench.sweep.findings import _edge, best_of


@given(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=7), st.sampled_from(["higher", "lower"]))
def test_the_expected_best_of_k_is_the_mean_over_all_choices_of_k(values, direction):
    best = max if direction == "higher" else min
    curve = best_of(values, direction)
    assert len(curve) == len(values)
    for k, expected in enumerate(curve, 1):
        assert expected == pytest.approx(mean(best(chosen) for chosen in itertools.combinations(values, k)))


def test_the_best_of_none_is_nothing():
    assert best_of([], "higher") == ()


@pytest.mark.parametrize(
    ("written", "value", "end"),
    [
        ([1, 2, 3], 3, "upper"),
        ([3, 1, 2], 1, "lower"),
        ([1, 2, 3], 2, None),
        ([1, 2], 2, None),
        (["a", "b", "c"], "a", None),
        ({"log": [1e-4, 1]}, 1.3e-4, "lower"),
        ({"log": [1e-4, 1]}, 2e-4, None),
        ({"log": [1e-4, 1]}, 0.8, "upper"),
        ({"uniform": [0, 1]}, 0.94, None),
        ({"uniform": [0, 1]}, 0.96, "upper"),
        ({"int": [1, 9]}, 9, "upper"),
        ({"int": [1, 9]}, 8, None),
    ],
)
def test_an_edge_is_an_end_of_what_has_an_order(written, value, end):
    assert _edge(axis_of(written, "place"), value) == end
