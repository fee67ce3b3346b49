"""The learning curves of one set of settings, ready to be drawn: a mean and a band for each optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cmbench.experiments.result import Result
from cmbench.report.figures.drawing import styles_of
from cmbench.report.figures.training.axis import AXES, per_step, steps_per_epoch
from cmbench.report.figures.training.series import mean_and_spread
from cmbench.report.page.line import line_of
from cmbench.report.page.numbers import short, shorts, thinned
from cmbench.report.runs.by_optimizer import OptimizerRuns, runs_by_optimizer
from cmbench.report.runs.groups import Group
from cmbench.report.runs.run import completed

_MOST_POINTS, _MOST_LINES = 200, 24
_POSITIONS = ("epoch", "task")
"""Curves that say where the others' values stand."""


def learning_curves(group: Group) -> dict[str, Any] | None:
    """What the page draws of training runs; None where completed runs have none, or too many lines.

    Each optimizer has `epoch` (positions), `curves` (by quantity `mean`, and from two seeds on `low` and `high`, one
    standard deviation from it) and `per_epoch`: what one epoch takes in steps, gradient evaluations and seconds, on the
    mean over its seeds. Only completed runs enter; `lost` says how many did not complete.
    """
    rows = [row for row in runs_by_optimizer(group) if any(r.curves.get("epoch") for r in completed(row.runs))]
    if group.suite.kind != "train" or not rows or len(rows) > _MOST_LINES:
        return None
    looks = styles_of([row.optimizer for row in rows])
    lines = [line_of(row.title, looks[row.optimizer.label]) | _curves(row) for row in rows]
    quantities = list(dict.fromkeys(name for line in lines for name in line["curves"]))
    judged = next((r.judged_by for row in rows for r in completed(row.runs) if r.judged_by), None)
    first = f"val_{judged.metric}" if judged else "train_loss"
    return {
        "kind": "curves",
        "title": "Learning curves",
        "quantities": sorted(quantities, key=lambda name: name != first),
        "lines": lines,
    }


def _curves(row: OptimizerRuns) -> dict[str, Any]:
    runs = [result for result in completed(row.runs) if result.curves.get("epoch")]
    longest = max((result.curves["epoch"] for result in runs), key=len)
    kept = thinned(len(longest), _MOST_POINTS)
    names = dict.fromkeys(name for result in runs for name in result.curves if name not in _POSITIONS)
    found = {name: _band([result.curves.get(name, []) for result in runs], kept) for name in names}
    return {
        "epoch": shorts(longest[i] for i in kept),
        "curves": {name: band for name, band in found.items() if band},
        "per_epoch": _per_epoch(runs),
        "seeds": len(runs),
        "lost": sum(run.result is not None and run.status != "completed" for run in row.runs),
    }


def _band(curves: Sequence[Sequence[Any]], kept: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """The mean of `curves` (seeds × epochs) at some epochs, with one standard deviation on both sides of it."""
    try:
        values = [np.array(curve, dtype=float) for curve in curves]
    except (TypeError, ValueError):  # lists or texts: no curve of numbers
        return None
    # As long as the longest of all curves, where that of this quantity is shorter.
    whole = np.full(int(kept[-1]) + 1, np.nan)
    mean, spread, n = (each[kept] for each in mean_and_spread([*values, whole]))
    if not n.any():
        return None
    if len(curves) < 2:
        return {"mean": shorts(mean)}
    spread = np.where(n == 1, 0.0, spread)
    return {"mean": shorts(mean), "low": shorts(mean - spread), "high": shorts(mean + spread)}


def _per_epoch(runs: Sequence[Result]) -> dict[str, float | int | None]:
    epoch_steps = steps_per_epoch(runs)
    found: dict[str, float | int | None] = {}
    for axis in (axis for axis in AXES if axis != "epochs"):
        pace = [step for result in runs if (step := per_step(result, axis, epoch_steps)) is not None]
        if pace and epoch_steps:
            found[axis] = short(epoch_steps * sum(pace) / len(pace))
    return found
