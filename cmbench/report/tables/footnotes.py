"""What is noted below a table: what ± stands for, how to read means, why runs failed, where the paper's numbers are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cmbench.experiments.result import ONE_BY_ONE
from cmbench.report.paper.lookup import paper_sources
from cmbench.report.runs.by_optimizer import OptimizerRuns
from cmbench.report.runs.groups import Group
from cmbench.report.table import Row


def spread_note(rows: Sequence[Row], over: str) -> list[str]:
    """What ± stands for, where it is printed; over how many, where that is the same in every row."""
    has_spread = any(cell.spread is not None for row in rows for cell in row.cells)
    counts = {row.runs.completed for row in rows if row.runs is not None}
    number = f"{counts.pop()} " if len(counts) == 1 else ""
    return [f"± is the standard deviation over {number}{over}"] if has_spread else []


def survivors_note(rows: Sequence[Row]) -> list[str]:
    """How a mean is to be read where runs diverged or failed."""
    if any(row.runs and row.runs.some_lost and row.runs.completed for row in rows):
        unit = next(row.runs.unit for row in rows if row.runs)
        return [f"Where {unit} diverged or failed, the mean is over the others, and the row is not marked as best."]
    return []


def failures(rows: Iterable[OptimizerRuns]) -> list[str]:
    """The error of every failed run, equal ones once."""
    lines = [
        f"{row.title} failed: {run.result.error}"
        for row in rows
        for run in row.runs
        if run.result and run.result.status == "failed" and run.result.error
    ]
    return list(dict.fromkeys(lines))


def one_by_one(rows: Iterable[OptimizerRuns]) -> list[str]:
    """Which optimizers ran their starts one after the other, and what that costs."""
    names, starts = [], 0
    for row in rows:
        cells = [run.result for run in row.runs if run.result and run.result.environment.get("starts") == ONE_BY_ONE]
        if cells:
            names.append(f"{row.title} ({sum(result.cost.wall_seconds for result in cells if result.cost):.0f} s)")
            starts = len(next(iter(cells[0].lanes.values()), ()))
    why = "a start depends on those beside it, so each ran by itself, in about"
    return [f"{', '.join(names)}: {why} {starts} times the time of lanes"] if names else []


def paper_notes(group: Group, rows: Sequence[Row]) -> list[str]:
    """Where the paper's numbers in `rows` are printed."""
    shown = [cell.paper for row in rows for cell in row.cells if cell.paper]
    return paper_sources(shown, other_settings=any(difference.from_suite for difference in group.differs))
