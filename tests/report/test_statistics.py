"""Means, spreads and intervals against numpy and scipy's own tests."""

import math

import numpy
import pytest
from scipy import stats

from cmbench.report.statistics import speed_up, summarize, wilson_interval


def test_summary_is_numpys_mean_and_sample_deviation():
    values = [93.9, 94.2, 93.1, 94.0]
    summary = summarize(values)
    assert summary.mean == pytest.approx(numpy.mean(values), rel=1e-12)
    assert summary.std == pytest.approx(numpy.std(values, ddof=1), rel=1e-12)
    assert summary.n == 4


def test_numbers_that_are_missing_or_not_finite_do_not_count():
    assert summarize([1.0, None, math.nan, 3.0, math.inf]).n == 2
    assert summarize([1.0, None, math.nan, 3.0, math.inf]).mean == 2.0


def test_one_value_has_no_spread_and_none_has_no_mean():
    assert (summarize([5.0]).mean, summarize([5.0]).std) == (5.0, None)
    assert (summarize([]).mean, summarize([None]).n) == (None, 0)


@pytest.mark.parametrize(("successes", "n"), [(0, 50), (1, 4), (31, 50), (50, 50)])
def test_a_wilson_interval_ends_where_the_observed_ratio_is_z_standard_errors_away(successes, n):
    z = stats.norm.ppf(0.975)
    for end in wilson_interval(successes, n):
        assert abs(successes / n - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n), abs=1e-9)
    low, high = wilson_interval(successes, n)
    assert 0 <= low < high <= 1


def test_a_wider_confidence_gives_a_wider_wilson_interval():
    narrow, wide = wilson_interval(20, 50, 0.8), wilson_interval(20, 50, 0.99)
    assert wide[0] < narrow[0] < 0.4 < narrow[1] < wide[1]


def test_more_successes_than_tries_are_refused():
    with pytest.raises(ValueError, match="k"):
        wilson_interval(5, 4)


def first_at_least(curve, goal):
    """By numpy: the first epoch, counted from 1, at which the running maximum is `goal` or more."""
    reached = numpy.maximum.accumulate(numpy.array(curve, dtype=float)) >= goal
    return int(reached.argmax()) + 1 if reached.any() else None


def test_speed_up_is_the_ratio_of_first_epochs_within_the_window():
    generator = numpy.random.default_rng(0)
    for _ in range(200):
        reference, other = generator.integers(50, 90, (2, 12)).astype(float).tolist()
        goal = max(reference[:8])
        t = first_at_least(other[:8], goal)
        expected = None if t is None else first_at_least(reference[:8], goal) / t
        assert speed_up(reference, other, 8) == expected


@pytest.mark.parametrize(
    ("reference", "other", "epochs", "expected"),
    [
        ([50, 60, 70, 90], [60, 70, 70, 90], 3, 3 / 2),  # the 90 lies outside the window
        ([50, 60, 70], [50, 60, 69], 50, None),  # never as good
        ([50, 60, 70], [50, 60, 69, 70], 3, None),  # as good too late
        ([70, 60, 70], [70, 0, 0], 50, 1),  # the first of two equal bests
        ([50, None, 70], [None, 70, 70], 50, 3 / 2),
        ([], [70], 50, None),
        ([None], [70], 50, None),
    ],
)
def test_speed_up_by_hand(reference, other, epochs, expected):
    assert speed_up(reference, other, epochs) == expected
