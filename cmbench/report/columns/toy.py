"""The columns of runs on a surface, each read from one run: where its starts ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cmbench.report.columns.cells import mean_cell, share_cell
from cmbench.report.runs.counts import survivors_of
from cmbench.report.runs.run import Run
from cmbench.report.table import Cell, Column, Direction


def _lanes(runs: Sequence[Run], key: str) -> list[Any] | None:
    """One value per start of the only run; None where the run has not ended."""
    (run,) = runs
    if run.result is None or not run.result.finished:
        return None
    return list(run.result.lanes.get(key, ()))


def _mean(key: str, title: str, direction: Direction | None, explanation: str) -> Column[Sequence[Run]]:
    """The mean over the starts that ended with a finite loss."""

    def read(runs: Sequence[Run]) -> Cell:
        lanes, result = _lanes(runs, key), runs[0].result
        return Cell() if lanes is None or result is None else mean_cell(survivors_of(lanes, result))

    return Column(key, title, direction, "significant", explanation, read)


def _share(key: str, title: str, direction: Direction, explanation: str) -> Column[Sequence[Run]]:
    """The share of all starts: one that diverged has not reached the minimum."""
    return Column(
        key, title, direction, "share", explanation, lambda runs: share_cell([*map(bool, _lanes(runs, key) or ())])
    )


LOSS = _mean("loss_final", "loss", "lower", "The surface's value where a start ends, averaged over the starts.")
SHARPNESS = _mean(
    "sharpness", "sharpness", "lower", "Largest eigenvalue of the Hessian where a start ends, averaged over the starts."
)
MEASURED = (
    _mean("loss_best", "best loss", "lower", "The lowest value that a start meets on its way, averaged."),
    _mean(
        "distance_to_minimum",
        "distance to minimum",
        "lower",
        "Euclidean distance from the end of a start to the nearest minimum of the surface, averaged.",
    ),
    _share(
        "ever_reached",
        "ever at global",
        "higher",
        "Share of the starts that come within 0.5 of a global minimum on their way, nearer than to any other minimum.",
    ),
    _share(
        "reached_global",
        "ends at global",
        "higher",
        "Share of the starts that end within 0.5 of a global minimum, nearer to it than to any other minimum.",
    ),
    _mean("path_length", "path length", None, "Length of the way of a start, the sum of its steps, averaged."),
    _mean(
        "cancellation",
        "cancellation",
        None,
        "How much of what a traced step adds up, the new gradient or momentum and the buffer's mean, cancels: "
        "1 − ‖sum‖/Σ‖parts‖, averaged; 0 where all point the same way, 1 where nothing is left.",
    ),
)
"""Columns of what is measured only where it can be: a surface may have no known minimum, a buffer be traced or not."""
COLUMNS = (LOSS, SHARPNESS, *MEASURED)
