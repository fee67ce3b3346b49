"""The runs of a convergence suite: the best rates on quadratics, checked by eigenvalues and by simulation."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from cmbench.experiments.execute import Outcome, execute, in_turn
from cmbench.experiments.listener import Listener
from cmbench.experiments.plan import RunSpec, plan_convergence
from cmbench.experiments.record import Measurement
from cmbench.experiments.result import Cost
from cmbench.experiments.settings import ConvergenceSettings, ConvergenceSuite
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import ResolvedSuite
from cmbench.landscapes.rates import Optimum, best_rates, rate

_CURVATURES = 61
_LONGEST = 1500


def simulated_rates(optima: Sequence[Optimum], capacity: int) -> list[float]:
    """The decay of max |θ_t| per step of actual SGD+CM runs, whose buffer drops its oldest entry, on those quadratics.

    The fitted r of log max |θ_t| = a + t·log r + q·log t: where eigenvalues coincide, as they do at an optimum, the
    error is a polynomial in t times r^t. The fit spans the later three quarters of a run of at most 1,500 steps that
    ends before the error is 1e-13 of its start, which is what rounding leaves in a buffer's running sum, or, without a
    buffer, 1e-60. The curvatures are equally spaced in their cube root, unlike those of `rate`. As α and the curvature
    enter as a product only, quadratics with the same β are lanes of one run, with α = 1 and the spectrum times α.
    """
    import torch

    from cmbench.landscapes.lanes import run_lanes

    lengths = [_run_length(optimum.rate, 13 if capacity else 60) for optimum in optima]
    rates = [0.0] * len(optima)
    for beta in dict.fromkeys(optimum.beta for optimum in optima):
        members = [i for i, optimum in enumerate(optima) if optimum.beta == beta]
        scaled = torch.stack(
            [
                torch.from_numpy(optima[i].alpha * np.linspace(optima[i].kappa ** (-1 / 3), 1, _CURVATURES) ** 3)
                for i in members
            ]
        )
        steps = max(lengths[i] for i in members)

        def quadratics(x: torch.Tensor, scaled: torch.Tensor = scaled) -> torch.Tensor:
            return 0.5 * (scaled * x.square()).sum(-1)

        def slope(x: torch.Tensor, scaled: torch.Tensor = scaled) -> tuple[torch.Tensor, torch.Tensor]:
            return quadratics(x, scaled), scaled * x

        lanes = run_lanes(
            quadratics,
            torch.ones(len(members), _CURVATURES, dtype=torch.float64),
            "sgd_cm",
            {"lr": 1.0, "momentum": beta, "capacity": capacity, "priority": "fifo"},
            steps,
            records=steps,
            slope=slope,
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
    from cmbench.optim.threads import few_threads

    with few_threads(0):
        return [_measure(spec.settings) for spec in specs]


def _measure(settings: ConvergenceSettings) -> Measurement:
    began = time.perf_counter()
    optima = best_rates(settings.condition_numbers, settings.capacity, settings.beta)
    computed = time.perf_counter() - began
    simulated = simulated_rates(optima, settings.capacity)
    on_grid = [float(rate(o.kappa, o.alpha, o.beta, settings.capacity)) for o in optima]
    errors = [abs(s - o.rate) / o.rate for s, o in zip(simulated, optima, strict=True) if o.rate > 1e-3]
    return Measurement(
        status="completed",
        metrics={
            "grid_error": max(abs(g - o.rate) for g, o in zip(on_grid, optima, strict=True)),
            "simulation_error": max(errors, default=None),
        },
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
