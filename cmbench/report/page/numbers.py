"""Numbers as the page holds them: short, and never ones that JSON does not have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

DIGITS = 5
"""Significant digits of what is drawn: more than a screen has pixels."""


def short(value: float | None, digits: int = DIGITS) -> float | int | None:
    """`value` in so many significant digits, a whole number without its `.0`; None where it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def shorts(values: Iterable[float | None], digits: int = DIGITS) -> list[float | int | None]:
    """`short` of each."""
    return [short(value, digits) for value in values]


def thinned(count: int, most: int) -> np.ndarray[Any, Any]:
    """At most so many positions among `count`, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
