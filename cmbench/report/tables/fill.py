"""From runs and columns to a table: cells, the best of each column, title and caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cmbench.experiments.result import OptimizerReference
from cmbench.report.captions import table_caption
from cmbench.report.paper.numbers import PaperValue
from cmbench.report.runs.by_optimizer import OptimizerRuns
from cmbench.report.runs.groups import Group
from cmbench.report.runs.run import Run
from cmbench.report.table import Cell, Column, Row, RunCounts, Table

Columns = Sequence[Column[Sequence[Run]]]


def fill(
    rows: Sequence[OptimizerRuns],
    columns: Columns,
    count: Callable[[Sequence[Run]], RunCounts | None],
    paper: Callable[[str, OptimizerReference], PaperValue | None] = lambda key, optimizer: None,
) -> list[Row]:
    """A row for each optimizer: what each column reads from its runs, beside the paper's number for it."""
    return [
        Row(
            row.title,
            tuple(
                replace(column.read(row.runs), paper=paper(column.key, row.optimizer)) for column in columns
            ),
            row.optimizer.label,
            row.optimizer.name,
            row.optimizer.hyperparameters,
            count(row.runs),
        )
        for row in rows
    ]  # fmt: skip


def without_empty(columns: Columns, rows: Sequence[Row]) -> tuple[list[Column[Sequence[Run]]], list[Row]]:
    """`columns` and `rows` without the optional columns in which no row has a value."""
    kept = [
        i
        for i, column in enumerate(columns)
        if not column.optional or any(row.cells[i].value is not None for row in rows)
    ]
    return [columns[i] for i in kept], [replace(row, cells=tuple(row.cells[i] for i in kept)) for row in rows]


def mark_best(rows: Sequence[Row], columns: Sequence[Column[Any]]) -> list[Row]:
    """Marks the best mean of every column that has a better direction and at least two rows to choose from."""
    marked = [list(row.cells) for row in rows]
    for i, column in enumerate(columns):
        values = [row.cells[i].value for row in rows if row.cells[i].value is not None]
        running = [_may_win(row, column, row.cells[i]) for row in rows]
        candidates = [
            row.cells[i].value or 0.0
            for row, runs in zip(rows, running, strict=True)
            if runs and row.cells[i].value is not None
        ]
        if column.direction is None or len(values) < 2 or not candidates:
            continue
        best = max(candidates) if column.direction == "higher" else min(candidates)
        for cells, runs in zip(marked, running, strict=True):
            if cells[i].value == best and runs:
                cells[i] = replace(cells[i], best=True)
    return [replace(row, cells=tuple(cells)) for row, cells in zip(rows, marked, strict=True)]


def _may_win(row: Row, column: Column[Any], cell: Cell) -> bool:
    """A mean over the survivors of divergence is not in the running; a share counts every start anyway."""
    if cell.missed:
        return False
    return column.format in ("share", "ratio") or row.runs is None or not row.runs.some_lost


def make_table(
    group: Group,
    part: str,
    text: str,
    columns: Sequence[Column[Any]],
    rows: Sequence[Row],
    notes: Sequence[str],
    *,
    lead: int = 1,
    settings: Mapping[str, Any] | None = None,
) -> Table:
    """The table of `group`, titled by its suite and by `part`, what it shows of it, with `text` in its caption.

    Below it stand `notes`, and those of the suite.
    """
    name, suite = group.suite.name, group.suite.suite
    return Table(
        suite=name,
        kind=group.suite.kind,
        title=f"{name}: {part}" if part and part != name else name,
        caption=table_caption(suite.settings.description if suite else None, text, group.differs),
        settings=group.settings if settings is None else settings,
        columns=tuple(columns),
        rows=tuple(rows),
        lead=lead,
        differs=group.differs,
        footnotes=(*notes, *(suite.settings.notes if suite else ())),
    )
