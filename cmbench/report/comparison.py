"""How far two paired measurements differ, how sure that is, and how many pairs it would take to be sure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05
"""The level of every test; intervals have the confidence 1 − LEVEL."""
POWER = 0.8
FEWEST = 3
"""Pairs below which nothing is said about a difference: two may lie close together by chance."""
MOST = 1_000_000
"""A number of pairs beyond which nobody will go."""


@dataclass(frozen=True)
class Comparison:
    """The mean `effect` of `n` paired differences xᵢ − yᵢ, and what it tells.

    `low`, `high` are the ends of its 95 % interval and `p` its two-sided p-value; None where the pairs tell nothing:
    they are fewer than three, or means of which all differences are equal. `deviation` is the standard deviation of
    the differences; `share` says that x and y are 0 or 1.
    """

    effect: float
    deviation: float
    n: int
    share: bool
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of the 95 % interval, where there is one."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def p_beyond(self, bound: float) -> float | None:
        """The p-value of the hypothesis that the true difference is at most `bound`, by Student's t, one-sided."""
        from scipy import special

        if self.p is None or self.deviation == 0:
            return None
        return float(special.stdtr(self.n - 1, (bound - self.effect) * math.sqrt(self.n) / self.deviation))

    def p_equivalent(self, margin: float) -> float | None:
        """The p-value of two one-sided tests: small where the true difference is inside (−`margin`, `margin`).

        Source: Schuirmann 1987.
        """
        above, below = self.p_beyond(-margin), self.p_beyond(margin)
        return None if above is None or below is None else max(above, 1 - below)

    def needed(self, level: float = LEVEL, power: float = POWER) -> int | None:
        """The number of pairs with which a difference like this one is found at `level` with the probability `power`.

        Of means by the noncentral t distribution; of shares for McNemar's test, by the normal approximation of
        Connor 1987. None where there is no difference, or more than a million would be needed.
        """
        if self.effect == 0 or self.deviation == 0:
            return None
        if self.share:
            from scipy import stats

            z_level, z_power = stats.norm.isf(level / 2), stats.norm.isf(1 - power)
            inside = self.deviation**2 * (self.n - 1) / self.n
            n = (z_level * math.sqrt(inside + self.effect**2) + z_power * math.sqrt(inside)) ** 2 / self.effect**2
            return max(FEWEST, math.ceil(n)) if n <= MOST else None
        return _pairs_for(abs(self.effect) / self.deviation, level, power)


def compare(x: Sequence[float], y: Sequence[float]) -> Comparison:
    """The comparison of paired values: of means, or of shares where every value is a truth value.

    Means: Student's interval d̄ ± t·s/√n, and the p-value of the same test. Shares: Newcombe's interval for paired
    proportions and McNemar's mid-p. Raises `ValueError` unless both have the same length, at least 1.
    """
    if len(x) != len(y) or not len(x):
        raise ValueError(f"paired values are wanted, not {len(x)} and {len(y)}")
    share = all(isinstance(value, (bool, np.bool_)) for value in (*x, *y))
    differences = np.asarray(x, dtype=float) - np.asarray(y, dtype=float)
    n = len(differences)
    effect, deviation = float(differences.mean()), float(differences.std(ddof=1)) if n > 1 else 0.0
    if np.ptp(differences) <= 1e-12 * max(1.0, abs(effect)):
        deviation = 0.0
    if n < FEWEST:
        return Comparison(effect, deviation, n, share)
    if share:
        low, high = newcombe_interval(*_fourfold(x, y))
        gained, lost = (int((differences == sign).sum()) for sign in (1, -1))
        return Comparison(effect, deviation, n, True, low, high, mcnemar_mid_p(gained, lost))
    if deviation == 0:
        return Comparison(effect, deviation, n, False)
    from scipy import special  # Student's t without the overhead of its class

    error = deviation / math.sqrt(n)
    half = float(special.stdtrit(n - 1, 1 - LEVEL / 2)) * error
    p = float(2 * special.stdtr(n - 1, -abs(effect) / error))
    return Comparison(effect, deviation, n, False, effect - half, effect + half, p)


def compare_independent(x: Sequence[float], y: Sequence[float]) -> Comparison:
    """The comparison of values that are no pairs: of means by Welch's t-test, of shares by Newcombe's interval.

    `n` is the smaller of both numbers; `deviation` is that of as many pairs with the same standard error, so that what
    is computed from both holds approximately. The p-value of shares is that of the score test. Raises `ValueError`
    where one of them is empty. Source: Welch 1947; Newcombe 1998, Statistics in Medicine 17, 873–890 (method 10).
    """
    from scipy import stats

    if not len(x) or not len(y):
        raise ValueError("values of both sides are wanted")
    share = all(isinstance(value, (bool, np.bool_)) for value in (*x, *y))
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n, effect = min(len(x), len(y)), float(first.mean() - second.mean())
    if n < FEWEST:
        return Comparison(effect, 0.0, n, share)
    error = math.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    if share:
        low, high = _independent_interval(int(first.sum()), len(first), int(second.sum()), len(second))
        pooled = float(np.concatenate([first, second]).mean())
        under_null = math.sqrt(pooled * (1 - pooled) * (1 / len(first) + 1 / len(second)))
        p = float(2 * stats.norm.sf(abs(effect) / under_null)) if under_null else 1.0
        return Comparison(effect, error * math.sqrt(n), n, True, low, high, p)
    if error <= 1e-12 * max(1.0, abs(effect)):
        return Comparison(effect, 0.0, n, False)
    test = stats.ttest_ind(first, second, equal_var=False)
    interval = test.confidence_interval(1 - LEVEL)
    low, high = float(interval.low), float(interval.high)
    return Comparison(effect, error * math.sqrt(n), n, False, low, high, float(test.pvalue))


def _independent_interval(successes: int, n: int, other_successes: int, other_n: int) -> tuple[float, float]:
    from cmbench.report.statistics import wilson_interval

    p1, p2 = successes / n, other_successes / other_n
    (l1, u1), (l2, u2) = wilson_interval(successes, n), wilson_interval(other_successes, other_n)
    return p1 - p2 - math.hypot(p1 - l1, u2 - p2), p1 - p2 + math.hypot(u1 - p1, p2 - l2)


def newcombe_interval(both: int, first: int, second: int, neither: int, level: float = LEVEL) -> tuple[float, float]:
    """Newcombe's interval for the difference p₁ − p₂ of paired proportions (his method 10).

    Of n pairs `both` succeeded twice, `first` and `second` only there, `neither` never. With Wilson's intervals
    (l₁, u₁), (l₂, u₂) and the correlation φ of the two (less a correction for continuity where it is positive):

        p₁ − p₂ − √(a² − 2φ·a·b + b²) with a = p₁ − l₁, b = u₂ − p₂, and likewise above.

    Source: Newcombe 1998, Statistics in Medicine 17, 2635–2650.
    """
    from cmbench.report.statistics import wilson_interval

    n = both + first + second + neither
    p1, p2 = (both + first) / n, (both + second) / n
    l1, u1 = wilson_interval(both + first, n, 1 - level)
    l2, u2 = wilson_interval(both + second, n, 1 - level)
    rows = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = both * neither - first * second
    corrected = max(product - n / 2, 0.0) if product > 0 else product
    phi = corrected / math.sqrt(rows) if rows else 0.0
    below, above = (
        math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0)) for a, b in ((p1 - l1, u2 - p2), (u1 - p1, p2 - l2))
    )
    return p1 - p2 - below, p1 - p2 + above


def mcnemar_mid_p(gained: int, lost: int) -> float:
    """McNemar's two-sided mid-p for paired truth values: `gained` pairs have the first only, `lost` the second only.

    2·P(X ≤ k) − P(X = k) for X ~ Binomial(gained + lost, ½) and k the smaller of the two. Source: Fagerland, Lydersen
    and Laake 2013.
    """
    from scipy import stats

    n, k = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0
    return float(min(1.0, 2 * stats.binom.cdf(k, n, 0.5) - stats.binom.pmf(k, n, 0.5)))


def holm(ps: Iterable[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of `ps`: p₍ᵢ₎ → max over j ≤ i of min(1, (m − j + 1)·p₍ⱼ₎).

    Source: Holm 1979.
    """
    values = list(ps)
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[i]))
        adjusted[i] = largest
    return adjusted


def welch_p(first: tuple[float, float], second: tuple[float, float], n: int) -> float:
    """The two-sided p-value of Welch's test from two printed means and sample standard deviations, `n` runs each."""
    from scipy import stats

    return float(stats.ttest_ind_from_stats(*first, n, *second, n, equal_var=False).pvalue)


def smallest_visible(deviation: float, n: int, level: float = LEVEL, power: float = POWER) -> float | None:
    """The smallest true mean difference that `n` pairs with this standard deviation find at `level` with `power`.

    None for fewer than three pairs, or where the differences do not vary.
    """
    from scipy.optimize import brentq

    if n < FEWEST or deviation == 0:
        return None
    return float(brentq(lambda d: _power(d, n, level) - power, 1e-9, 1e4)) * deviation


def _fourfold(x: Sequence[float], y: Sequence[float]) -> tuple[int, int, int, int]:
    pairs: Mapping[tuple[bool, bool], int] = {
        key: sum((bool(a), bool(b)) == key for a, b in zip(x, y, strict=True))
        for key in ((True, True), (True, False), (False, True), (False, False))
    }
    return pairs[True, True], pairs[True, False], pairs[False, True], pairs[False, False]


def _power(d: float, n: int, level: float) -> float:
    """The power of the two-sided paired t-test for a mean difference of `d` standard deviations.

    The chance of a significant difference on the wrong side is left out. From 5,000 pairs on the normal approximation.
    """
    from scipy import stats

    if n > 5000:
        return float(stats.norm.sf(stats.norm.isf(level / 2) - d * math.sqrt(n)))
    power = float(stats.nct.sf(stats.t.isf(level / 2, n - 1), n - 1, d * math.sqrt(n)))
    return 1.0 if math.isnan(power) and d > 1 else power


def _pairs_for(d: float, level: float, power: float) -> int | None:
    if _power(d, MOST, level) < power:
        return None
    low, high = FEWEST - 1, FEWEST  # the power grows with the number of pairs
    while _power(d, high, level) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _power(d, middle, level) < power else (low, middle)
    return high
