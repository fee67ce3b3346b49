"""How soon runs reach a target, as numbers: shares of runs over cost, and performance profiles over problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cmbench.experiments.result import Result
from cmbench.report.figures.training.axis import Axis, positions
from cmbench.report.table import Direction


@dataclass(frozen=True)
class Target:
    """A value of the validation curve called `metric` that runs are to reach; `direction` is the better one."""

    metric: str
    value: float
    direction: Direction

    def first(self, curve: Sequence[float | None]) -> int | None:
        """The index of the first value that is as good as the target or better; None where there is none."""
        sign = -1 if self.direction == "lower" else 1
        reached = (i for i, value in enumerate(curve) if value is not None and sign * value >= sign * self.value)
        return next(reached, None)


def median_target(metric: str, direction: Direction, results: Sequence[Result]) -> Target | None:
    """The median over the completed runs of the best value of their curve `metric`: half of them reach it.

    Of an even number the easier one of the two in the middle, so that it is a value that a run has. None where no
    completed run has a value.
    """
    curves = [result.curves.get(metric, []) for result in results if result.status == "completed"]
    values = [[value for value in curve if value is not None] for curve in curves]
    best = sorted((max if direction == "higher" else min)(found) for found in values if found)
    if not best:
        return None
    middle = (len(best) - 1) // 2 if direction == "higher" else len(best) // 2
    return Target(metric, best[middle], direction)


def cost_to(target: Target, result: Result, axis: Axis, epoch_steps: float | None) -> float | None:
    """What a run has spent, on the axis, when it is evaluated as good as the target first; None where it never is.

    A run that diverges later has reached it all the same.
    """
    first = target.first(result.curves.get(target.metric, []))
    if first is None:
        return None
    place = float(positions(result, axis, epoch_steps)[first])
    return place if np.isfinite(place) else None


def share_reached(costs: Sequence[float | None]) -> tuple[np.ndarray, np.ndarray]:
    """The share of runs that have reached the target, as steps: after `x[i]` it is `share[i]`; it begins at 0.

    F(x) = #{r : cost_r ≤ x} / #r over all runs, those that never reach it (None) among them.
    """
    reached = np.sort(np.array([cost for cost in costs if cost is not None], dtype=float))
    share = np.arange(1, len(reached) + 1) / max(len(costs), 1)
    return np.concatenate([[0.0], reached]), np.concatenate([[0.0], share])


def performance_profile(costs: Mapping[str, Sequence[float | None]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each solver the steps τ and ρ of its performance profile over the same problems in the same order.

    ρ_s(τ) = #{p : t_{p,s} ≤ τ · min_s' t_{p,s'}} / #p: the share of problems that solver s solves within τ times the
    cost of the best one. A problem that a solver never solves (None) has an infinite ratio; one that none solves counts
    among the #p. Source: Dolan and Moré 2002. Raises `ValueError` where solvers have different numbers of problems.
    """
    if len({len(row) for row in costs.values()}) != 1:
        raise ValueError("a performance profile needs the same problems for every solver")
    table = np.array([[np.inf if cost is None else cost for cost in row] for row in costs.values()], dtype=float)
    best = table.min(0)
    ratios = np.where(np.isfinite(table), table / np.where(np.isfinite(best), best, 1), np.inf)
    found = {}
    for solver, row in zip(costs, ratios, strict=True):
        tau = np.unique(row[np.isfinite(row)])
        rho = np.array([(row <= value).mean() for value in tau])
        found[solver] = np.concatenate([[1.0], tau]), np.concatenate([[(row <= 1).mean()], rho])
    return found
