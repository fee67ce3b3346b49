"""The trackers there are, and what `--track` says of them."""

from __future__ import annotations

from collections.abc import Sequence

from cmbench.errors import UserError, unknown
from cmbench.training.tracking.base import Tracker
from cmbench.training.tracking.mlflow import MLflow
from cmbench.training.tracking.tensorboard import TensorBoard
from cmbench.training.tracking.wandb import WandB

TRACKERS: dict[str, type[Tracker]] = {tracker.name: tracker for tracker in (MLflow, WandB, TensorBoard)}
ENVIRONMENT = ("MLFLOW_", "WANDB_")
"""How the environment variables begin that say where trackers are."""


def trackers_of(values: Sequence[str]) -> tuple[Tracker, ...]:
    """The trackers that are meant: `("mlflow", "tensorboard:boards")`.

    Raises `UserError` for one that is unknown, or whose package is missing.
    """
    trackers = tuple(map(_tracker, dict.fromkeys(values)))
    for tracker in trackers:
        tracker.check()
    return trackers


def _tracker(value: str) -> Tracker:
    name, colon, where = value.partition(":")
    if name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS, "--track")
    kind = TRACKERS[name]
    if colon and not where:
        raise UserError(f"--track {value}: accepted: {name} or {name}:WHERE, with {kind.accepted} as WHERE")
    return kind(where)
