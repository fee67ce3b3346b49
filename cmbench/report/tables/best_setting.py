"""The best setting of a grid: which row wins, and whether the grid should reach further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cmbench.experiments.text import canonical
from cmbench.report.table import Direction, Row


@dataclass(frozen=True)
class BestSetting:
    """The best row of an optimizer's grid, its mean and deviation, and the hyperparameters at an edge of the grid."""

    row: Row
    value: float
    spread: float | None
    edges: tuple[str, ...]


def best_setting(rows: Sequence[Row], column: int, direction: Direction) -> BestSetting | None:
    """The row with the best mean in `column` among those of which every seed completed; ties go to the earlier row.

    Only means over the same seeds are compared: a row of which a seed diverged, failed or is missing is not eligible.
    None where no row is.
    """
    eligible = [
        (value, row)
        for row in rows
        if (value := row.cells[column].value) is not None
        and (row.runs is None or row.cells[column].n == row.runs.completed == row.runs.expected)
    ]
    if not eligible:
        return None
    value, row = (max if direction == "higher" else min)(eligible, key=lambda pair: pair[0])
    return BestSetting(row, value, row.cells[column].spread, _edges(row, rows))


def _edges(best: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    """The numeric hyperparameters with more than two values in `rows` of which `best` has the least or the greatest."""
    return tuple(
        name
        for name, values in varying(rows).items()
        if len(values) > 2
        and all(isinstance(value, (int, float)) for value in values)
        and best.hyperparameters[name] in (min(values), max(values))
    )


def varying(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The hyperparameters in which `rows` differ, with their values in the order of the rows."""
    names = dict.fromkeys(name for row in rows for name in row.hyperparameters)
    values = {
        name: list({canonical(value): value for row in rows for value in [row.hyperparameters.get(name)]}.values())
        for name in names
    }
    return {name: found for name, found in values.items() if len(found) > 1}
