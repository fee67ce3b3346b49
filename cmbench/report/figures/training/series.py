"""The curves of training runs as numbers: one line per run, and their mean and spread per optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmbench.experiments.result import OptimizerReference, Result
from cmbench.report.figures.training.axis import Axis, end_of, positions
from cmbench.report.runs.by_optimizer import OptimizerRuns


@dataclass(frozen=True)
class Line:
    """One run's curve: `y` at `x`, both (epochs,), without epochs in which it has no finite value.

    `diverged_at` is where on the axis the run diverged, if it did.
    """

    seed: int
    x: np.ndarray
    y: np.ndarray
    diverged_at: float | None = None


@dataclass(frozen=True)
class Series:
    """The curves of one optimizer: `lines` of all runs that completed or diverged, and over the completed ones, epoch
    by epoch (epochs,), their mean place on the axis `x`, their `mean`, the sample standard deviation `spread` (NaN for
    a single run) and the number `n` of runs that have a value there.
    """

    title: str
    optimizer: OptimizerReference
    lines: tuple[Line, ...]
    x: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    n: np.ndarray

    @property
    def diverged(self) -> tuple[Line, ...]:
        """The lines of runs that diverged."""
        return tuple(line for line in self.lines if line.diverged_at is not None)


def mean_and_spread(curves: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, sample standard deviation and count of the finite values at each index of curves of any lengths.

    x̄ₖ = Σᵢ xᵢₖ/nₖ and sₖ = √(Σᵢ(xᵢₖ − x̄ₖ)²/(nₖ − 1)); NaN where nₖ is 0, or for s 1. All three are as long as the
    longest curve.
    """
    table = np.full((len(curves), max(map(len, curves), default=0)), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    finite = np.isfinite(table)
    n = finite.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(finite, table, 0).sum(0) / n
        squares = (np.where(finite, table - mean, 0) ** 2).sum(0)
        spread = np.where(n > 1, np.sqrt(squares / (n - 1)), np.nan)
    return mean, spread, n


def series_of(rows: Sequence[OptimizerRuns], quantity: str, axis: Axis, epoch_steps: float | None) -> list[Series]:
    """A series for each optimizer of which a run recorded the curve `quantity`, in the order of `rows`.

    `epoch_steps` are the steps of an epoch. Runs that failed or were interrupted are left out.
    """
    found = [_series(row, quantity, axis, epoch_steps) for row in rows]
    return [series for series in found if series.lines]


def drawn(row: OptimizerRuns) -> list[Result]:
    """The results that figures of a row are about: runs that came to their end, whichever it was."""
    return [run.result for run in row.runs if run.result and run.result.finished]


def _is_in(result: Result, quantity: str) -> bool:
    """Whether a run has the curve, or diverged too soon to have any, which is shown with its training loss."""
    return quantity in result.curves or (quantity == "train_loss" and result.status == "diverged")


def _series(row: OptimizerRuns, quantity: str, axis: Axis, epoch_steps: float | None) -> Series:
    results = [result for result in drawn(row) if _is_in(result, quantity)]
    places = [positions(result, axis, epoch_steps) for result in results]
    values = [np.array(result.curves.get(quantity, []), dtype=float) for result in results]
    whole = [result.status == "completed" for result in results]
    mean, spread, n = mean_and_spread([y for y, done in zip(values, whole, strict=True) if done])
    x, _, _ = mean_and_spread([x for x, done in zip(places, whole, strict=True) if done])
    kept = n > 0
    lines = [
        Line(result.seed, place[np.isfinite(y)], y[np.isfinite(y)], end_of(result, axis, epoch_steps))
        for result, place, y in zip(results, places, values, strict=True)
    ]
    return Series(row.title, row.optimizer, tuple(lines), x[kept], mean[kept], spread[kept], n[kept])
