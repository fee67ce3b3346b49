"""Where the epochs of a training run lie on an axis of epochs, steps, gradients or seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

import numpy as np

from cmbench.experiments.result import Result

Axis = Literal["epochs", "steps", "gradients", "seconds"]
AXES: tuple[Axis, ...] = get_args(Axis)
TITLES: Mapping[Axis, str] = {
    "epochs": "epoch",
    "steps": "step",
    "gradients": "gradient evaluations",
    "seconds": "seconds of training",
}


def steps_per_epoch(results: Iterable[Result]) -> float | None:
    """Steps that an epoch takes, by the runs of one set of settings; None where none of them tells.

    Steps over epochs of the longest completed run. Where none completed: a run that ended with k epochs behind it ended
    in epoch k + 1, which counts as a whole one.
    """
    counts = [
        (result.status == "completed", result.cost.steps, len(result.curves.get("epoch", ())))
        for result in results
        if result.cost and result.cost.steps
    ]
    whole = [steps / epochs for completed, steps, epochs in counts if completed and epochs]
    begun = [steps / (epochs + 1) for completed, steps, epochs in counts if not completed]
    return max(whole or begun, default=None)


def per_step(result: Result, axis: Axis, epoch_steps: float | None) -> float | None:
    """How far a step of this run goes on the axis; None where the result does not tell.

    Gradients per step are those that the run counted: a probe computes two. Seconds, evaluations not among them, are
    spread evenly over the steps, since curves hold no times.
    """
    if axis == "epochs":
        return 1 / epoch_steps if epoch_steps else None
    if axis == "steps":
        return 1.0
    cost = result.cost
    if cost is None or not cost.steps:
        return None
    whole = cost.gradient_evaluations if axis == "gradients" else cost.wall_seconds - cost.evaluation_seconds
    return whole / cost.steps


def positions(result: Result, axis: Axis, epoch_steps: float | None) -> np.ndarray:
    """Where each value of the run's curves lies on the axis, shape (epochs,); NaN where the result does not tell."""
    epochs = np.arange(1, len(result.curves.get("epoch", ())) + 1, dtype=float)
    if axis == "epochs":
        return epochs
    scale = per_step(result, axis, epoch_steps)
    return epochs * (scale * epoch_steps if scale is not None and epoch_steps else np.nan)


def end_of(result: Result, axis: Axis, epoch_steps: float | None) -> float | None:
    """Where a run that diverged did so; None for another, or where its result does not tell."""
    if result.status != "diverged":
        return None
    step = result.diverged_step
    scale = per_step(result, axis, epoch_steps)
    return None if step is None or scale is None else step * scale
