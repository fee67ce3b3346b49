"""Means, spreads, speed-ups and shares of what runs measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Mean of `n` values and their sample standard deviation; a field is None where `n` is too small for it."""

    mean: float | None
    std: float | None
    n: int


def summarize(values: Iterable[float | None]) -> Summary:
    """x̄ = Σxᵢ/n and s = √(Σ(xᵢ − x̄)²/(n − 1)) over the values that are finite numbers; `n` counts those."""
    found = np.array([value for value in values if _is_finite(value)], dtype=float)
    n = len(found)
    return Summary(float(found.mean()) if n else None, float(found.std(ddof=1)) if n > 1 else None, n)


def speed_up(reference: Sequence[float | None], other: Sequence[float | None], epochs: int) -> float | None:
    """T/t: how many times sooner `other` is as good as `reference` gets, by two curves with a value per epoch.

    a = max over the first `epochs` values of `reference`, T = the first epoch (counted from 1) at which it has a, and
    t = the first of the first `epochs` at which `other` ≥ a. Above 1 where `other` is faster; None where it does not
    get to a, or `reference` has no value. Higher is better; an epoch without a finite value (None) reaches nothing.
    Source: the quantity of Table 3, which the paper names without defining it.
    """
    goal = max((value for value in reference[:epochs] if value is not None), default=None)
    if goal is None:
        return None
    needed, reached = (
        next((epoch for epoch, value in enumerate(curve[:epochs], 1) if value is not None and value >= goal), None)
        for curve in (reference, other)
    )
    return None if needed is None or reached is None else needed / reached


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a ratio p̂ = `successes`/`n`:

    (p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n), z the (1 + `confidence`)/2 quantile of the normal distribution.

    Unlike the interval p̂ ± z·√(p̂(1−p̂)/n) it does not shrink to a point when none or all of few runs succeed.
    Source: Wilson 1927. Raises `ValueError` unless 0 <= `successes` <= `n` and `n` > 0.
    """
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _is_finite(*values: float | None) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)
