"""Asymptotic convergence of critical momenta on quadratics (section 3.2), computed and simulated."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmbench.experiments.execute import Listener, Measurement, Outcome, execute, in_turn
from cmbench.experiments.plan import RunSpec, plan_convergence
from cmbench.experiments.quadratic import heavy_ball
from cmbench.experiments.result import Cost
from cmbench.experiments.settings import ConvergenceSettings, ConvergenceSuite
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import ResolvedSuite

_EIGENVALUES = 17
_LOG_ALPHA = (math.log(1e-6), math.log(1e3))
_LONGEST = 1500


def companion(h: ArrayLike, alpha: ArrayLike, beta: ArrayLike, capacity: int) -> NDArray[np.float64]:
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


def rate(kappa: float, alpha: ArrayLike, beta: ArrayLike, capacity: int) -> NDArray[np.float64]:
    """ρ(α, β) = max over h in [1/κ, 1] of the spectral radius of A_h: the factor by which a step shrinks the error.

    The largest curvature is 1; h runs over logarithmically spaced values, both ends among them. `alpha` and `beta`
    broadcast; so does the result. Values above 1 mean divergence.
    """
    h = np.geomspace(1 / kappa, 1, _EIGENVALUES)
    matrices = companion(h, np.asarray(alpha)[..., None], np.asarray(beta)[..., None], capacity)
    radii: NDArray[np.float64] = np.abs(np.linalg.eigvals(matrices)).max((-1, -2))
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

    The function is a maximum of moduli, so it has kinks at its optimum: Brent's method in α on the best stretch of a
    coarse scan; in both, the simplex method from several places and from the optimum of the condition number before.
    """
    found: list[Optimum] = []
    for kappa in kappas:
        if beta is not None:
            found.append(_best_alpha(kappa, capacity, beta))
        else:
            found.append(_best_pair(kappa, capacity, found[-1] if found else None))
    return found


def _best_alpha(kappa: float, capacity: int, beta: float) -> Optimum:
    from scipy.optimize import minimize_scalar

    scan = np.linspace(*_LOG_ALPHA, 80)
    values = rate(kappa, np.exp(scan), beta, capacity)
    best = int(values.argmin())
    bounds = (scan[max(best - 1, 0)], scan[min(best + 1, len(scan) - 1)])
    options: Any = {"xatol": 1e-10}
    result = minimize_scalar(
        lambda log_alpha: float(rate(kappa, np.exp(log_alpha), beta, capacity)),
        bounds=bounds,
        method="bounded",
        options=options,
    )
    return Optimum(kappa, float(result.fun), math.exp(result.x), beta)


def _best_pair(kappa: float, capacity: int, before: Optimum | None) -> Optimum:
    from scipy.optimize import OptimizeResult, minimize

    # In log α and log(1−β): at the optimum of momentum methods both move like powers of κ.
    def value(z: np.ndarray) -> float:
        beta = 1 - math.exp(min(z[1], 0.0))
        return float(rate(kappa, math.exp(z[0]), beta, capacity) + max(z[1], 0.0))

    def descend(z: np.ndarray, size: float) -> OptimizeResult:
        simplex = z + size * np.array([[0, 0], [1, 0], [0, -1]])
        options: Any = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 400, "initial_simplex": simplex}
        return minimize(value, z, method="Nelder-Mead", options=options)

    begin = [_best_alpha(kappa, capacity, beta) for beta in (0.0, 0.5, 0.9, heavy_ball(kappa) ** 2)]
    results = []
    for optimum in [*begin, *([before] if before else [])]:
        z = np.array([math.log(optimum.alpha), math.log(1 - optimum.beta)])
        results.append(descend(z, 0.1))
    best = min(results, key=lambda result: result.fun)
    for _ in range(3):  # a simplex may have collapsed against a kink: begin again around it
        again = descend(best.x, 0.05)
        if again.fun > best.fun - 1e-7:
            break
        best = again
    alpha, beta = math.exp(best.x[0]), 1 - math.exp(min(best.x[1], 0.0))
    return Optimum(kappa, float(rate(kappa, alpha, beta, capacity)), alpha, beta)


def simulated_rates(optima: Sequence[Optimum], capacity: int) -> list[float]:
    """The decay of max |θ_t| per step of actual SGD+CM runs, whose buffer drops its oldest entry, on those quadratics.

    The fitted r of log max |θ_t| = a + t·log r + q·log t: where eigenvalues coincide, as they do at an optimum, the
    error is a polynomial in t times r^t. The fit spans the later three quarters of a run of at most 1,500 steps that
    ends before the error is 1e-13 of its start, which is what rounding leaves in a buffer's running sum, or, without a
    buffer, 1e-60. As α and the curvature enter as a product only, quadratics with the same β are lanes of one run,
    with α = 1 and the spectrum times α.
    """
    import torch

    from cmbench.landscapes.lanes import run_lanes

    lengths = [_run_length(optimum.rate, 13 if capacity else 60) for optimum in optima]
    rates = [0.0] * len(optima)
    for beta in dict.fromkeys(optimum.beta for optimum in optima):
        members = [i for i, optimum in enumerate(optima) if optimum.beta == beta]
        scaled = torch.stack(
            [torch.from_numpy(optima[i].alpha * np.geomspace(1 / optima[i].kappa, 1, _EIGENVALUES)) for i in members]
        )
        steps = max(lengths[i] for i in members)

        def quadratics(x: torch.Tensor, scaled: torch.Tensor = scaled) -> torch.Tensor:
            return 0.5 * (scaled * x.square()).sum(-1)

        lanes = run_lanes(
            quadratics,
            torch.ones(len(members), _EIGENVALUES, dtype=torch.float64),
            "sgd_cm",
            {"lr": 1.0, "momentum": beta, "capacity": capacity, "priority": "fifo"},
            steps,
            records=steps,
        )
        errors = lanes.positions.abs().amax(-1).numpy()
        for lane, i in enumerate(members):
            rates[i] = _decay(errors[: lengths[i] + 1, lane])
    return rates


def _run_length(expected: float, digits: int) -> int:
    digits_per_step = max(-math.log10(max(expected, 1e-12)), 1e-12)
    return int(min(_LONGEST, max(8, digits / digits_per_step)))


def _decay(error: np.ndarray) -> float:
    if not (error > 0).all():
        return 0.0
    t = np.arange(len(error) // 4, len(error))
    terms = np.stack([np.ones_like(t), t, np.log(t)], -1).astype(float)
    return math.exp(np.linalg.lstsq(terms, np.log(error[t]), rcond=None)[0][1])


def run_suite(
    suite: ResolvedSuite[ConvergenceSuite], store: ResultStore, *, force: bool = False, listener: Listener | None = None
) -> Outcome:
    """Runs what `store` has no finished result of: one run per capacity and momentum of a convergence suite."""
    return execute(plan_convergence(suite), store, in_turn(_run), force=force, listener=listener)


def _run(specs: Sequence[RunSpec[ConvergenceSettings]]) -> list[Measurement]:
    from cmbench.landscapes.lanes import few_threads

    with few_threads(0):
        return [_measure(spec.settings) for spec in specs]


def _measure(settings: ConvergenceSettings) -> Measurement:
    began = time.perf_counter()
    optima = best_rates(settings.condition_numbers, settings.capacity, settings.beta)
    computed = time.perf_counter() - began
    simulated = simulated_rates(optima, settings.capacity)
    errors = [abs(s - o.rate) / o.rate for s, o in zip(simulated, optima, strict=True) if o.rate > 1e-3]
    return Measurement(
        status="completed",
        metrics={"simulation_error": max(errors, default=None)},
        curves={
            "condition_number": [o.kappa for o in optima],
            "rate": [o.rate for o in optima],
            "learning_rate": [o.alpha for o in optima],
            "momentum": [o.beta for o in optima],
            "rate_simulated": simulated,
        },
        cost=Cost(
            wall_seconds=computed,
            evaluation_seconds=time.perf_counter() - began - computed,
            steps=0,
            gradient_evaluations=0,
        ),
    )
