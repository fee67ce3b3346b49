"""When a claim is reproduced, contradicted or neither, by the comparisons that it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from cmbench.report.comparison import FEWEST, LEVEL, MOST, POWER, Comparison

Settled = Literal["reproduced", "contradicted", "different", "alike", "inconclusive"]


@dataclass(frozen=True)
class Asserted:
    """That the difference of a comparison is above 0 (`direction` 1), below 0 (−1), or within ±`margin` (0)."""

    comparison: Comparison
    direction: Literal[1, -1, 0]
    margin: float = 0.0

    @property
    def p_for(self) -> float | None:
        """The p-value of what is asserted: that of the difference; 1 where it points the other way."""
        if self.direction == 0:
            return self.comparison.p_equivalent(self.margin)
        p = self.comparison.p
        return p if p is None or self.comparison.effect * self.direction > 0 else 1.0

    @property
    def p_against(self) -> float | None:
        """The p-value, two-sided, of the opposite: a difference the other way, or one beyond the margin."""
        if self.direction:
            p = self.comparison.p
            return p if p is None or self.comparison.effect * self.direction < 0 else 1.0
        above, below = self.comparison.p_beyond(self.margin), self.comparison.p_beyond(-self.margin)
        return None if above is None or below is None else min(1.0, 2 * min(above, 1 - below))

    def needed(self, level: float) -> int | None:
        """The pairs that would settle it at `level` with 80 % power, if the true difference were the observed one."""
        if self.direction:
            return self.comparison.needed(level)
        effect, deviation = abs(self.comparison.effect), self.comparison.deviation
        if deviation == 0:
            return None
        if effect > self.margin:
            return _first(lambda n: _shifted(effect - self.margin, deviation, n, level / 2) >= POWER)
        # Two one-sided tests; the chance that either fails.
        return _first(
            lambda n: (
                _shifted(self.margin - effect, deviation, n, LEVEL)
                + _shifted(self.margin + effect, deviation, n, LEVEL)
                - 1
                >= POWER
            )
        )


@dataclass(frozen=True)
class Decision:
    """A verdict, the p-value of the claim (the largest of its comparisons'), and the pairs that would settle it.

    `p` is None where a comparison has none; `needed` where the verdict is settled, or no number is known to settle it.
    """

    verdict: Settled
    p: float | None
    needed: int | None = None


def decide(asserted: Sequence[Asserted]) -> Decision:
    """The verdict on a conjunction: every one of `asserted` has to hold.

    Reproduced: p ≤ .05 for each; the largest p counts, which needs no correction (intersection-union test, Berger
    1982). Contradicted: the opposite of one of them has p ≤ .05 after Holm's correction over all. Else inconclusive.
    """
    ps = [each.p_for for each in asserted]
    p = None if any(value is None for value in ps) else max(value for value in ps if value is not None)
    if p is not None and p <= LEVEL:
        return Decision("reproduced", p)
    against = min(1.0 if each.p_against is None else each.p_against for each in asserted)
    if against * len(asserted) <= LEVEL:
        return Decision("contradicted", p)
    return Decision("inconclusive", p, _needed(asserted))


def decide_difference(asked: Asserted) -> Decision:
    """Whether there is a difference, of which nobody has said a direction; `asked` has direction 0.

    Different: its two-sided p ≤ .05. Alike: it is not, and two one-sided tests place it inside the margin at the same
    level, or no pair differs at all. Else inconclusive: the likelier of the two answers says how many pairs it takes.
    """
    found, p_alike = asked.comparison, asked.p_for
    if found.p is not None and found.p <= LEVEL:
        return Decision("different", found.p)
    nowhere = found.n >= FEWEST and found.effect == found.deviation == 0
    if nowhere or (p_alike is not None and p_alike <= LEVEL):
        return Decision("alike", found.p)
    needed = [n for n in (asked.needed(LEVEL), found.needed()) if n is not None]
    return Decision("inconclusive", found.p, min(needed, default=None))


def _needed(asserted: Sequence[Asserted]) -> int | None:
    """As many as the most demanding comparison needs; where some point the other way, the first of these."""
    wrong = [each for each in asserted if each.p_for is not None and not _points_right(each)]
    if wrong:
        known = [n for each in wrong if (n := each.needed(LEVEL / len(asserted))) is not None]
        return min(known, default=None)
    open_ = [each for each in asserted if each.p_for is None or each.p_for > LEVEL]
    numbers = [each.needed(LEVEL) for each in open_]
    return None if any(n is None for n in numbers) else max((n for n in numbers if n is not None), default=None)


def _points_right(each: Asserted) -> bool:
    effect = each.comparison.effect
    return abs(effect) <= each.margin if each.direction == 0 else effect * each.direction > 0


def _shifted(distance: float, deviation: float, n: int, level: float) -> float:
    """The chance that a mean `distance` inside a bound is found to be inside it, one-sided, normal approximation."""
    from scipy import stats

    return float(stats.norm.cdf(distance * math.sqrt(n) / deviation - stats.norm.isf(level)))


def _first(reached: Callable[[int], bool]) -> int | None:
    """The smallest number of pairs at which `reached`, which stays true once it is, holds."""
    if not reached(MOST):
        return None
    low, high = FEWEST - 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
