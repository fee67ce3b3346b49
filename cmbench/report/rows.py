"""Rows of a table: their titles, the counts of runs behind them, which cell is best, what is noted below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from cmbench.experiments.result import OptimizerReference, Result
from cmbench.report.grouping import Run
from cmbench.report.paper import PaperValue
from cmbench.report.records import Cell, Column, Row, Runs


def make_row(title: str, optimizer: OptimizerReference, cells: Sequence[Cell], runs: Runs | None) -> Row:
    """The row of an optimizer."""
    return Row(title, tuple(cells), optimizer.label, optimizer.name, optimizer.hyperparameters, runs)


def count_seeds(runs: Sequence[Run], expected: int) -> Runs:
    """What became of a row's runs; seeds that other rows have and this one lacks are missing."""
    tally = {status: sum(run.status == status for run in runs) for status in ("completed", "failed", "interrupted")}
    diverged = [run.result for run in runs if run.status == "diverged"]
    present = sum(run.result is not None for run in runs)
    steps = tuple(result.diverged_step for result in diverged if result.diverged_step is not None)
    return Runs(
        "seeds", tally["completed"], expected, len(diverged), steps, tally["failed"], tally["interrupted"],
        expected - present,
    )  # fmt: skip


def _alive(result: Result) -> list[bool]:
    """Which starts of a landscape run ended with a finite loss."""
    return [loss is not None for loss in result.lanes.get("loss_final", ())]


def survivors_of(lanes: Sequence[Any], result: Result) -> list[Any]:
    """What `lanes`, one value per start of a landscape run, holds of the starts that ended with a finite loss."""
    alive = _alive(result)
    return [lane for lane, ok in zip(lanes, alive, strict=False) if ok] if alive else list(lanes)


def count_starts(run: Run) -> Runs:
    """What became of the starts of one landscape run."""
    expected = len(run.settings.get("start_points") or ()) or run.settings["starts"]
    if run.result is None:
        return Runs("starts", 0, expected, missing=expected)
    if run.status in ("failed", "interrupted"):
        return Runs("starts", 0, expected, **{run.status: expected})
    alive = sum(_alive(run.result))
    step = run.result.diverged_step
    diverged = expected - alive
    return Runs("starts", alive, expected, diverged, (step,) if diverged and step is not None else ())


def share(lanes: Sequence[bool], paper: PaperValue | None) -> Cell:
    """The share of `lanes` that are true."""
    if not lanes:
        return Cell(paper=paper)
    return Cell(sum(lanes) / len(lanes), None, len(lanes), paper=paper)


def _eligible(row: Row, column: Column, cell: Cell) -> bool:
    """A mean over the survivors of divergence is not in the running; a share counts every start anyway."""
    if cell.missed:
        return False
    return column.format in ("share", "ratio") or row.runs is None or not (row.runs.diverged or row.runs.failed)


def mark_best(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Marks the best mean of every column that has a better direction and at least two rows to choose from."""
    marked = [list(row.cells) for row in rows]
    for i, column in enumerate(columns):
        if column.better is None or sum(row.cells[i].value is not None for row in rows) < 2:
            continue
        running = [_eligible(row, column, row.cells[i]) for row in rows]
        values = [
            row.cells[i].value
            for row, runs in zip(rows, running, strict=True)
            if runs and row.cells[i].value is not None
        ]
        if not values:
            continue
        best = max(values) if column.better == "higher" else min(values)
        for cells, runs in zip(marked, running, strict=True):
            if cells[i].value == best and runs:
                cells[i] = replace(cells[i], best=True)
    return [replace(row, cells=tuple(cells)) for row, cells in zip(rows, marked, strict=True)]


def spread_note(rows: Sequence[Row], over: str) -> list[str]:
    """What ± stands for, where it is printed; over how many, where that is the same in every row."""
    has_spread = any(cell.spread is not None for row in rows for cell in row.cells)
    counts = {row.runs.completed for row in rows if row.runs is not None}
    number = f"{counts.pop()} " if len(counts) == 1 else ""
    return [f"± is the standard deviation over {number}{over}"] if has_spread else []


def survivors_note(rows: Sequence[Row]) -> list[str]:
    """How a mean is to be read where runs diverged or failed."""
    if any(row.runs and (row.runs.diverged or row.runs.failed) and row.runs.completed for row in rows):
        unit = next(row.runs.unit for row in rows if row.runs)
        return [f"Where {unit} diverged or failed, the mean is over the others, and the row is not marked as best."]
    return []


def failures(rows_of: Iterable[tuple[str, OptimizerReference, list[Run]]]) -> list[str]:
    """The error of every failed run, equal ones once."""
    lines: dict[str, None] = {}
    for title, _, runs in rows_of:
        for run in runs:
            if run.status == "failed" and run.result.error:
                lines[f"{title} failed: {run.result.error}"] = None
    return list(lines)
