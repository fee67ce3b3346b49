"""What is known in closed form about quadratics: the rate that computed ones stand beside."""

from __future__ import annotations

import math


def heavy_ball(kappa: float) -> float:
    """The known optimum of classical momentum on a quadratic of condition number κ, (√κ − 1)/(√κ + 1); Polyak 1964."""
    return (math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1)
