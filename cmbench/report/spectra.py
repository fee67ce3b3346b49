"""Stored spectra of Hessians as curves."""

from __future__ import annotations

import math

import numpy as np

from cmbench.experiments.result import Result

POINTS = 1001
LEAST = 1e-8
"""What is less dense is not drawn: of a Gaussian, nothing is."""


def has_spectrum(result: Result) -> bool:
    """Whether the result is a measured spectrum."""
    return result.status == "completed" and "nodes" in result.curves


def density(result: Result, width: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (POINTS,), and the share of all eigenvalues per unit there: Σ_k w_k·N(λ; θ_k, σ²).

    `width` is σ, by default a 200th of the range. A density below LEAST is NaN.
    """
    nodes, weights = (np.array(result.curves[name], dtype=float) for name in ("nodes", "weights"))
    low, high = float(nodes.min()), float(nodes.max())
    width = width or (high - low or 1.0) / 200
    at = np.linspace(low - 5 * width, high + 5 * width, POINTS)
    bells = np.exp(-(((at[:, None] - nodes) / width) ** 2) / 2) / (width * math.sqrt(2 * math.pi))
    shares = bells @ weights
    return at, np.where(shares > LEAST, shares, np.nan)
