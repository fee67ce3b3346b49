"""Means, spreads and intervals against numpy and scipy's own tests."""

import math

import numpy
import pytest
from scipy import stats

from cmbench.report.statistics import paired_difference, summarize


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


def test_paired_interval_is_scipys_over_the_common_seeds():
    ours, baseline = {0: 94.1, 1: 93.8, 2: 94.6, 7: 10.0}, {2: 94.0, 0: 93.9, 1: 93.2, 5: 99.0}
    test = stats.ttest_rel([94.1, 93.8, 94.6], [93.9, 93.2, 94.0])
    interval = test.confidence_interval(0.95)
    found = paired_difference(ours, baseline)
    assert found.n == 3
    assert found.mean == pytest.approx((0.2 + 0.6 + 0.6) / 3)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("ours", [{}, {0: 1.0}, {0: 1.0, 1: None}, {3: 1.0, 4: 1.0}])
def test_fewer_than_two_common_seeds_give_no_difference(ours):
    assert paired_difference(ours, {0: 1.0, 1: 2.0}) is None
