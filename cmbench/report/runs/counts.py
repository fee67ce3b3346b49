"""What became of the runs of a row, and of the starts of a landscape run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cmbench.experiments.result import Result
from cmbench.report.runs.run import Run
from cmbench.report.table import RunCounts


def count_seeds(runs: Sequence[Run], expected: int) -> RunCounts:
    """What became of a row's runs; seeds that other rows have and this one lacks are missing."""
    diverged = [run.result for run in runs if run.result and run.status == "diverged"]
    return RunCounts(
        "seeds",
        completed=sum(run.status == "completed" for run in runs),
        expected=expected,
        diverged=len(diverged),
        diverged_steps=tuple(result.diverged_step for result in diverged if result.diverged_step is not None),
        failed=sum(run.status == "failed" for run in runs),
        interrupted=sum(run.status == "interrupted" for run in runs),
        missing=expected - sum(run.result is not None for run in runs),
    )


def count_starts(run: Run) -> RunCounts:
    """What became of the starts of one landscape run."""
    expected = len(run.settings.get("start_points") or ()) + run.settings["starts"]
    if run.result is None:
        return RunCounts("starts", 0, expected, missing=expected)
    if run.status == "failed":
        return RunCounts("starts", 0, expected, failed=expected)
    if run.status == "interrupted":
        return RunCounts("starts", 0, expected, interrupted=expected)
    alive = sum(_alive(run.result))
    step = run.result.diverged_step
    diverged = expected - alive
    return RunCounts("starts", alive, expected, diverged, (step,) if diverged and step is not None else ())


def survivors_of(lanes: Sequence[Any], result: Result) -> list[Any]:
    """What `lanes`, one value per start of a landscape run, holds of the starts that ended with a finite loss."""
    alive = _alive(result)
    return [lane for lane, ok in zip(lanes, alive, strict=False) if ok] if alive else list(lanes)


def _alive(result: Result) -> list[bool]:
    """Which starts of a landscape run ended with a finite loss."""
    return [loss is not None for loss in result.lanes.get("loss_final", ())]
