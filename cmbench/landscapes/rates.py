"""The best convergence rates of critical momenta on quadratics (section 3.2), for every curvature between the ends.

One eigenvalue h of the Hessian makes the method a linear recurrence. With the largest curvature scaled to 1, and
y = α(1−β)h, its modes z (Eq. 4 and 8, the buffer holding the last C momenta) are the roots of

    (z − 1)(z − β)·z^(C−1) + y·(z^C + (z^(C−1) + … + z + 1)/C)        or (z − 1)(z − β) + y·z without a buffer.

α and h enter as their product alone. So for a radius r and a β, all modes lie within r on a set of intervals of y,
whatever the condition number, and the method converges at the rate r for condition numbers up to the largest ratio of
the ends of one of them. The ends are those y at which a mode has modulus r: y = −N(z)/D(z), real, for z = r·e^(iφ),
where N and D are the two polynomials. That is a polynomial equation in cos φ: no grid of curvatures is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_HALVINGS = 42
"""Of the interval (0, 1) of radii: what is left of it is 2e-13."""
_ROUNDS = 9
_BETAS = 25


def companion(h: ArrayLike, alpha: ArrayLike, beta: ArrayLike, capacity: int) -> Floats:
    """The matrix A with V_{t+1} = A·V_t for V_t = [θ_t, m_{t−1}, …, m_{t−C}] and the gradient h·θ; shape (..., n, n).

    From Eq. 4 and 8, where the buffer holds exactly the last C momenta:

        m_t = β·m_{t−1} + (1−β)·h·θ_t,    θ_{t+1} = θ_t − α·(m_t + (m_{t−1} + … + m_{t−C}) / C),

    so θ_{t+1} = (1 − α(1−β)h)·θ_t − α(β + 1/C)·m_{t−1} − (α/C)·(m_{t−2} + … + m_{t−C}). n is C + 1; without a memory
    (C = 0, classical momentum) n is 2 and the terms in 1/C are absent.

    The matrix printed in section 3.2 differs in three places: it leaves out the factor (1−β) of Eq. 4, which only
    rescales α; its last entry of the first row has the sign +; and it carries θ_{t−1}, on which nothing depends.
    The text calls ρ(A) the largest singular value; what governs convergence is the largest modulus of an eigenvalue.
    `h`, `alpha` and `beta` broadcast against each other.
    """
    h, alpha, beta = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (h, alpha, beta)))
    n = max(capacity, 1) + 1
    matrix = np.zeros((*h.shape, n, n))
    matrix[..., 0, 0] = 1 - alpha * (1 - beta) * h
    if capacity:
        matrix[..., 0, 1:] = (-alpha / capacity)[..., None]
    matrix[..., 0, 1] -= alpha * beta
    matrix[..., 1, 0] = (1 - beta) * h
    matrix[..., 1, 1] = beta
    for row in range(2, n):
        matrix[..., row, row - 1] = 1
    return matrix


def rate(kappa: float, alpha: ArrayLike, beta: ArrayLike, capacity: int) -> Floats:
    """ρ(α, β) = max over h in [1/κ, 1] of the spectral radius of A_h: the factor by which a step shrinks the error.

    The largest curvature is 1; h runs over 300 logarithmically and 300 equally spaced values, both ends among them.
    `alpha` and `beta` broadcast; so does the result. Values above 1 mean divergence.
    """
    h = np.concatenate([np.geomspace(1 / kappa, 1, 300), np.linspace(1 / kappa, 1, 300)])
    matrices = companion(h, np.asarray(alpha)[..., None], np.asarray(beta)[..., None], capacity)
    radii: Floats = np.abs(np.linalg.eigvals(matrices)).max((-1, -2))
    return radii


@dataclass(frozen=True)
class Optimum:
    """The best rate ρ* for a condition number, and the (α, β) that give it; the largest curvature is 1."""

    kappa: float
    rate: float
    alpha: float
    beta: float


def best_rates(kappas: Sequence[float], capacity: int, beta: float | None = None) -> list[Optimum]:
    """ρ* = min ρ over (α, β), or over α alone where `beta` is given, for every condition number of `kappas`.

    For a β the radius is halved down to the smallest one that reaches κ; β is searched on a grid of 1 − β that becomes
    finer around its best value.
    """
    return [_best(kappa, capacity, beta) for kappa in kappas]


def _best(kappa: float, capacity: int, beta: float | None) -> Optimum:
    if beta is not None:
        return _best_of(kappa, capacity, np.array([beta]))[0]
    # At the optimum of momentum methods 1 − β falls like 1/√κ.
    grid = np.linspace(math.log(0.05 / math.sqrt(kappa)), 0.0, _BETAS)
    best, i = _best_of(kappa, capacity, 1 - np.exp(grid))
    for _ in range(_ROUNDS):
        grid = np.linspace(grid[max(i - 1, 0)], grid[min(i + 1, _BETAS - 1)], _BETAS)
        found, i = _best_of(kappa, capacity, 1 - np.exp(grid))
        best = min(best, found, key=lambda optimum: optimum.rate)
    return best


def _best_of(kappa: float, capacity: int, betas: Floats) -> tuple[Optimum, int]:
    """The optimum among some β, and the position of its β: a radius is halved as long as one of them reaches κ."""
    low, high, alpha = 0.0, 1.0, math.nan
    left = np.arange(len(betas))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        ratio, largest = _widest(np.full(len(left), middle), betas[left], capacity)
        reached = ratio >= kappa
        if reached.any():  # a β that does not reach it is out: another one is better
            best = int(ratio.argmax())
            high, alpha = middle, float(largest[best] / (1 - betas[left[best]]))
            chosen, left = int(left[best]), left[reached]
        else:
            low = middle
    if math.isnan(alpha):
        raise ValueError(f"condition number {kappa:g}: no learning rate converges")
    return Optimum(kappa, high, alpha, float(betas[chosen])), chosen


def _polynomials(betas: Floats, capacity: int) -> tuple[Floats, Floats]:
    """The coefficients, lowest first, of N (B, n + 1) and D (n + 1,): the modes are the roots of N + y·D."""
    n = max(capacity, 1) + 1
    numerator = np.zeros((len(betas), n + 1))
    numerator[:, n - 2], numerator[:, n - 1], numerator[:, n] = betas, -(1 + betas), 1
    denominator = np.zeros(n + 1)
    denominator[:capacity] = 1 / capacity if capacity else 0.0
    denominator[n - 1] = 1
    return numerator, denominator


def _widest(radii: Floats, betas: Floats, capacity: int) -> tuple[Floats, Floats]:
    """Of the intervals of y on which all modes lie within a radius: the largest ratio of its ends, and its upper end.

    `radii` and `betas` (B,); the ratio is 0 where there is no such interval.
    """
    numerator, denominator = _polynomials(betas, capacity)
    cosines, weight = _cosines(numerator, denominator, radii)
    z = radii[:, None] * np.exp(1j * np.arccos(cosines))
    powers = z[..., None] ** np.arange(len(denominator))
    n, d = (powers * numerator[:, None]).sum(-1), powers @ denominator
    with np.errstate(divide="ignore", invalid="ignore"):
        y = -(n / d).real
        slopes = powers[..., :-1] * np.arange(1, len(denominator))
        there = (slopes * numerator[:, None, 1:]).sum(-1) + y * (slopes @ denominator[1:])
        outwards = np.sign((z.conj() * -d / there).real)  # of d|z|/dy
    y = np.where(np.isfinite(y) & (y > 0), y, np.inf)
    order = y.argsort(1)
    y = np.take_along_axis(y, order, 1)
    step = np.where(np.isfinite(y), np.take_along_axis(np.nan_to_num(outwards * weight), order, 1), 0)
    outside = 1 + (betas > radii)[:, None] + step.cumsum(1)  # at y = 0 the modes are 1, β and zeros
    ratio, largest, begin = np.zeros_like(radii), np.zeros_like(radii), np.full_like(radii, np.nan)
    for k in range(y.shape[1] - 1):
        begin = np.where(outside[:, k] <= 0, np.where(np.isnan(begin), y[:, k], begin), np.nan)
        with np.errstate(invalid="ignore"):
            wide = np.where(np.isfinite(y[:, k + 1]), np.nan_to_num(y[:, k + 1] / begin), 0.0)
        ratio, largest = np.where(wide > ratio, (wide, y[:, k + 1]), (ratio, largest))
    return ratio, largest


def _cosines(numerator: Floats, denominator: Floats, radii: Floats) -> tuple[Floats, Floats]:
    """cos φ at which −N(z)/D(z) is real on |z| = r, (B, K): ±1, and between them (NaN where there is none).

    With how many modes cross the circle there: one at ±1, else two.
    """
    n = len(denominator) - 1
    scale = radii[:, None] ** np.arange(n + 1)
    products = (numerator * scale)[:, :, None] * (denominator * scale)[:, None, :]
    # Im N·conj(D) = Σ_m c_m·sin(mφ) = sin φ·Σ_m c_m·U_{m−1}(cos φ), with Chebyshev's polynomials of the second kind.
    c = np.stack(
        [
            np.trace(products, -m, 1, 2) - np.trace(products, m, 1, 2)
            for m in range(1, n + 1)
        ],
        -1,
    )  # fmt: skip
    ends = np.broadcast_to([-1.0, 1.0], (len(radii), 2))
    degree = n - 1 if denominator[0] else 0
    if degree == 0:  # without a buffer only c_1 is there
        return ends, np.ones_like(ends)
    colleague = np.zeros((len(radii), degree, degree))
    for row in range(degree - 1):
        colleague[:, row, row + 1] = colleague[:, row + 1, row] = 0.5
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        colleague[:, -1] -= np.nan_to_num(c[:, :degree] / (2 * c[:, degree, None]), nan=0.0, posinf=0.0, neginf=0.0)
    roots = np.linalg.eigvals(colleague)
    real = (np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < 1)
    inner = np.where(real, roots.real, np.nan)
    return np.concatenate([ends, inner], 1), np.concatenate([np.ones_like(ends), np.full_like(inner, 2)], 1)
