"""What the paper's own numbers say about its claims: whether the printed means differ by more than their spreads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cmbench.report.comparison import LEVEL, holm, welch_p
from cmbench.report.paper.claims.record import Claim, Of
from cmbench.report.paper.numbers import VALUES, PaperValue

SEEDS = 5
"""The paper averages its experiments over five seeds (section 5)."""
Reading = Literal["holds", "indistinguishable", "contradicted", "no spread", "no numbers"]


@dataclass(frozen=True)
class AsPrinted:
    """The largest p-value of the claim's comparisons by the printed numbers, and what follows.

    `indistinguishable`: a comparison has p > .05; `no spread`: the means are printed alone, and have the claimed order
    or not (`ordered`); `no numbers`: the place prints none.
    """

    verdict: Reading
    p: float | None = None
    ordered: bool | None = None


def as_printed(claim: Claim) -> AsPrinted:
    """Welch's test on the printed mean ± standard deviation of five seeds, for every comparison of the claim.

    A claim of equality is not tested: the printed digits do not tell a margin from none.
    """
    groups = [[value for of in group for value in _values(claim, of)] for group in claim.order]
    if claim.relation not in ("lower", "higher") or not groups or not all(groups):
        return AsPrinted("no numbers")
    sign = 1 if claim.relation == "higher" else -1
    pairs = [pair for first, second in itertools.pairwise(groups) for pair in itertools.product(first, second)]
    ordered = all((better.value - worse.value) * sign > 0 for better, worse in pairs)
    if any(better.spread is None or worse.spread is None for better, worse in pairs):
        return AsPrinted("no spread", ordered=ordered)
    ps = [_p(better, worse) for better, worse in pairs]
    right = [(better.value - worse.value) * sign > 0 for better, worse in pairs]
    p = max(p if ok else 1.0 for p, ok in zip(ps, right, strict=True))
    if p <= LEVEL:
        return AsPrinted("holds", p, ordered)
    against = holm(1.0 if ok else p for p, ok in zip(ps, right, strict=True))
    return AsPrinted("contradicted" if min(against) <= LEVEL else "indistinguishable", p, ordered)


def _values(claim: Claim, of: Of) -> Sequence[PaperValue]:
    table = claim.place.number if claim.place.kind == "table" else claim.printed_in
    column = claim.column or claim.surface
    return [
        value
        for value in VALUES
        if value.table == table
        and column in (None, value.column)
        and (value.optimizer, value.metric) == (of.optimizer, claim.metric)
        and all(value.hyperparameters.get(k, v) == v for k, v in of.hyperparameters.items())
    ]


def _p(one: PaperValue, other: PaperValue) -> float:
    return welch_p((one.value, one.spread or 0.0), (other.value, other.spread or 0.0), SEEDS)
