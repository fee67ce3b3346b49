"""The best setting of a grid: which row wins, and whether the grid should reach further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cmbench.report.records import Better, Cell, Row


@dataclass(frozen=True)
class Choice:
    """The best row of an optimizer's grid, its deciding cell, and the hyperparameters at the edge of their grid."""

    row: Row
    cell: Cell
    edges: tuple[str, ...]


def choose(rows: Sequence[Row], column: int, better: Better) -> Choice | None:
    """The row with the best mean in `column` among those of which every seed completed; ties go to the earlier row.

    Only means over the same seeds are compared: a row of which a seed diverged, failed or is missing is not eligible.
    None where no row is.
    """
    eligible = [
        row
        for row in rows
        if row.cells[column].value is not None
        and (row.runs is None or row.cells[column].n == row.runs.completed == row.runs.expected)
    ]
    if not eligible:
        return None
    best = (max if better == "higher" else min)(eligible, key=lambda row: row.cells[column].value)
    return Choice(best, best.cells[column], _edges(best, rows))


def _edges(best: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    """The numeric hyperparameters with more than two values in `rows` of which `best` has the least or the greatest."""
    return tuple(
        name
        for name, values in varying(rows).items()
        if len(values) > 2
        and all(isinstance(value, (int, float)) for value in values)
        and best.hyperparameters[name] in (min(values), max(values))
    )


def varying(rows: Sequence[Row]) -> dict[str, list]:
    """The hyperparameters in which `rows` differ, with their values in the order of the rows."""
    names = dict.fromkeys(name for row in rows for name in row.hyperparameters)
    values = {name: list(dict.fromkeys(row.hyperparameters.get(name) for row in rows)) for name in names}
    return {name: found for name, found in values.items() if len(found) > 1}
