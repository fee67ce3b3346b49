"""Differences, their intervals and their p-values, against other computations of the same, and against chance."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from cmbench.report.comparison import (
    Comparison,
    compare,
    holm,
    mcnemar_mid_p,
    newcombe_interval,
    smallest_visible,
    welch_p,
)

numbers = st.floats(-1e3, 1e3, allow_nan=False)


@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=30))
@settings(deadline=None)
def test_means_are_compared_as_by_the_paired_t_test(pairs):
    x, y = (np.array(column) for column in zip(*pairs, strict=True))
    assume((x - y).std() > 1e-6)
    found = compare(list(x), list(y))
    expected = stats.ttest_rel(x, y)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-300)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-6, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((2 * found.effect - found.high, found.high))


def test_nothing_is_said_of_fewer_than_three_pairs_nor_of_equal_differences():
    for x, y in (([1.0], [0.0]), ([1.0, 2.0], [0.0, 0.5]), ([1.1, 2.1, 3.1], [1.0, 2.0, 3.0])):
        found = compare(x, y)
        assert found.effect > 0
        assert (found.p, found.interval, found.n) == (None, None, len(x))
        assert smallest_visible(found.deviation, found.n) is None
    assert compare([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).needed() is None
    with pytest.raises(ValueError, match="3 and 2"):
        compare([1.0, 2.0, 3.0], [1.0, 2.0])


def test_shares_have_newcombes_interval_and_mcnemars_mid_p():
    """Airway hyper-responsiveness before and after a transplant; figures printed by Fagerland et al. 2014, Table I."""
    before = [True] * 2 + [False] * 19
    after = [True] + [False] + [True] * 7 + [False] * 12
    found = compare(before, after)
    assert found.share
    assert found.effect == pytest.approx(-6 / 21)
    assert found.interval == pytest.approx((-0.507, -0.026), abs=5e-4)
    assert found.p == pytest.approx(0.039, abs=5e-4)


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_mid_p_counts_half_of_what_was_observed(gained, lost):
    n, k = gained + lost, min(gained, lost)
    assume(gained != lost)
    chance = [Fraction(math.comb(n, i), 2**n) for i in range(n + 1)]
    assert mcnemar_mid_p(gained, lost) == pytest.approx(float(2 * (sum(chance[:k]) + chance[k] / 2)))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_newcombes_interval_holds_the_difference_and_mirrors(both, first, second, neither):
    assume(both + first + second + neither > 0)
    low, high = newcombe_interval(both, first, second, neither)
    difference = (first - second) / (both + first + second + neither)
    assert -1 - 1e-9 <= low <= difference + 1e-12 <= high + 2e-12 <= 1 + 2e-9
    assert newcombe_interval(both, second, first, neither) == pytest.approx((-high, -low))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_for_every_subset(ps):
    """The closed test: hypothesis i is rejected where Bonferroni rejects every subset that holds it."""
    found = holm(ps)
    for i in range(len(ps)):
        subsets = (s for size in range(1, len(ps) + 1) for s in itertools.combinations(range(len(ps)), size) if i in s)
        assert found[i] == pytest.approx(max(min(1.0, len(s) * min(ps[j] for j in s)) for s in subsets))


def test_the_printed_means_of_cifar_are_indistinguishable():
    def by_hand(first, second, n=5):
        error = math.sqrt((first[1] ** 2 + second[1] ** 2) / n)
        freedom = (first[1] ** 2 + second[1] ** 2) ** 2 / ((first[1] ** 4 + second[1] ** 4) / (n - 1))
        return 2 * stats.t.cdf(-abs(first[0] - second[0]) / error, freedom)

    for first, second, p in (((94.0, 0.3), (93.9, 0.3), 0.61), ((94.4, 0.4), (94.0, 0.3), 0.11),
                             ((71.2, 0.3), (71.0, 0.3), 0.32)):  # fmt: skip
        assert welch_p(first, second, 5) == pytest.approx(by_hand(first, second))
        assert welch_p(first, second, 5) == pytest.approx(p, abs=0.005)


@pytest.mark.parametrize("size", [0.3, 0.6, 1.5])
def test_with_as_many_pairs_as_are_needed_four_of_five_repetitions_find_the_difference(size):
    needed = Comparison(size, 1.0, 10, False, p=0.5).needed()
    differences = np.random.default_rng(7).normal(size, 1.0, (20_000, needed))
    t = differences.mean(1) / (differences.std(1, ddof=1) / math.sqrt(needed))
    power = (t > stats.t.ppf(0.975, needed - 1)).mean()
    fewer = differences[:, 1:]
    t = fewer.mean(1) / (fewer.std(1, ddof=1) / math.sqrt(needed - 1))
    assert (t > stats.t.ppf(0.975, needed - 2)).mean() - 0.01 < 0.8 < power + 0.01


@pytest.mark.parametrize(("first", "second"), [(0.3, 0.15), (0.12, 0.08), (0.5, 0.2)])
def test_with_as_many_starts_as_are_needed_shares_are_told_apart(first, second):
    """`first` and `second`: the chance that a start has only the one and only the other."""
    effect, deviation = first - second, math.sqrt(first + second - (first - second) ** 2)
    needed = Comparison(effect, deviation, 10**6, True, p=0.5).needed()
    counts = np.random.default_rng(8).multinomial(needed, [first, second, 1 - first - second], 4000)
    power = np.mean([mcnemar_mid_p(a, b) <= 0.05 and a > b for a, b, _ in counts])
    assert 0.77 < power < 0.85


@pytest.mark.parametrize("n", [3, 5, 20, 400])
def test_the_smallest_visible_difference_needs_the_pairs_there_are(n):
    smallest = smallest_visible(2.0, n)
    assert Comparison(smallest * 1.0001, 2.0, n, False, p=0.5).needed() == n
    assert Comparison(smallest * 0.98, 2.0, n, False, p=0.5).needed() > n or n == 3


def test_equivalence_takes_two_one_sided_tests():
    x = np.random.default_rng(3).normal(0.1, 1.0, 40)
    found = compare(list(x), [0.0] * 40)
    for margin in (0.2, 0.5, 1.0):
        lower = stats.ttest_1samp(x, -margin, alternative="greater").pvalue
        upper = stats.ttest_1samp(x, margin, alternative="less").pvalue
        assert found.p_equivalent(margin) == pytest.approx(max(lower, upper))
