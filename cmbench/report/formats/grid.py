"""The printed grid, the same for terminal, Markdown and LaTeX: headers and cells as texts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cmbench.report.formats.numbers import Notation, cell_text, paper_text
from cmbench.report.table import Cell, Column, Table


@dataclass(frozen=True)
class PrintedColumn:
    """A printed column: its header, its texts, which of them are best; `with_previous` stays beside its neighbour."""

    header: str
    texts: tuple[str, ...]
    best: tuple[bool, ...]
    with_previous: bool = False
    left: bool = False


def printed_columns(table: Table, narrow: bool = False, title_width: int = 28) -> list[PrintedColumn]:
    """The columns as they are printed; `narrow` breaks titles and counts of runs into several lines."""
    none = (False,) * len(table.rows)
    head = "optimizer" if any(row.optimizer for row in table.rows) else ""
    titles = tuple(_wrapped(row.title, title_width) if narrow else row.title for row in table.rows)
    printed = [PrintedColumn(head, titles, none, left=True)]
    counted = [row.runs for row in table.rows if row.runs]
    for i, column in enumerate(table.columns):
        printed += _columns(column, [row.cells[i] for row in table.rows], none, narrow)
        # Where nothing is missing, the caption says how many there are; narrow tables leave it at that.
        complete = all(runs.completed == runs.expected for runs in counted)
        if i + 1 == table.lead and counted and not (narrow and complete):
            texts = tuple(_wrapped(runs.text, 12) if narrow else runs.text for runs in counted)
            printed.append(PrintedColumn(counted[0].unit, texts, none, left=True))
    return printed


def _columns(column: Column[Any], cells: Sequence[Cell], none: tuple[bool, ...], narrow: bool) -> list[PrintedColumn]:
    arrow = {"higher": " ↑", "lower": " ↓", None: ""}[column.direction]
    notation = Notation.of(column.format, cells, narrow)
    texts = tuple(cell_text(cell, column.format, notation, narrow) for cell in cells)
    title = column.title.replace(" ", "\n") if narrow and column.format == "ratio" else column.title
    printed = [PrintedColumn(title + arrow, texts, tuple(cell.best for cell in cells), column.with_previous)]
    if papers := [cell.paper.value for cell in cells if cell.paper]:
        as_printed = max(len(str(value).partition(".")[2]) for value in papers)
        texts = tuple(paper_text(cell, as_printed) for cell in cells)
        printed.append(PrintedColumn("paper", texts, none, with_previous=True))
    return printed


def _wrapped(text: str, width: int) -> str:
    """`text` in lines of at most `width`, broken after a comma where there is one, else between words."""
    if len(text) <= width:
        return text
    parts = text.replace(", ", ",\n").splitlines()
    return "\n".join(line for part in parts for line in textwrap.wrap(part, width))
