"""Prints tables: on a terminal, as Markdown, LaTeX or CSV, and as JSON for other programs."""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from cmbench.errors import unknown
from cmbench.report.records import Cell, Column, NumberFormat, Row, Table

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["terminal", "markdown", "latex", "csv", "json"]
FORMATS: tuple[str, ...] = get_args(Format)
SCHEMA = "cmbench.report/1"


def render(tables: Sequence[Table], format: Format = "terminal", *, console: Console | None = None) -> str:
    """`tables` as text that ends with a newline.

    `terminal` fits the width of `console` (stdout's by default): what is too wide goes on below, under the same rows.
    It is bold and coloured where `console` is a terminal; elsewhere a `*` follows the best of a column. `markdown` and
    `latex` (no packages needed) hold the same text. `csv` has one line per cell, in full precision.

    `json` is `{"schema": "cmbench.report/1", "tables": [...]}`. A table has `suite, kind, title, caption, settings,
    differs, columns, rows, footnotes, verbatim` (lines to be copied); a column `key, title, better` (`higher`, `lower`
    or null); a row `title, label, optimizer, hyperparameters, runs` and `cells` by column key. A cell has `value` (the
    mean), `spread` (sample standard deviation), `n`, `interval` (95 %, of a difference), `best`, `notes` and `paper`
    (`value, spread, table, column`).
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS, "--format")
    renderers = {"terminal": None, "markdown": _markdown, "latex": _latex, "csv": _csv, "json": _json}
    return _terminal(tables, console) if format == "terminal" else renderers[format](tables)


# Numbers


@dataclass(frozen=True)
class _Notation:
    """How all numbers of a column are printed: with so many decimals, as `1.5e-03` where `scientific`."""

    decimals: int
    scientific: bool = False

    @staticmethod
    def of(format: NumberFormat, cells: Sequence[Cell], narrow: bool = False) -> _Notation:
        """Two decimals (one beside numbers from 100 on), or as many as give the largest number three significant
        digits and the largest spread two.

        A column of which a mean would round to nothing is scientific as a whole: one notation per column.
        """
        if format != "significant":
            return _Notation({"hundredths": 2, "share": 2, "ratio": 2, "integer": 0, "rate": 5}[format])
        values = [abs(cell.value) for cell in cells if cell.value]
        spreads = [cell.spread for cell in cells if cell.value is not None and cell.spread]
        wanted = [2 - _magnitude(values, 1.0), *([1 - _magnitude(spreads, 1.0)] if spreads else [])]
        decimals = min(4, max(2, *wanted)) if max(values, default=0.0) < 100 else 1
        if values and (min(values) < 0.5 * 10**-decimals or max(values) >= 1e7):
            return _Notation(1 if narrow else 2, scientific=True)
        return _Notation(decimals)

    def text(self, value: float, signed: bool = False) -> str:
        """`value` as text, with a minus sign that is none of ASCII's."""
        sign = "+" if signed else ""
        if self.scientific:
            text = f"{value:{sign}.{self.decimals}e}"
        else:
            comma = "," if abs(value) >= 1e4 else ""
            text = f"{value:{sign}{comma}.{self.decimals}f}"
        return f"−{text[1:]}" if text.startswith("-") else text


def _magnitude(values: Sequence[float], default: float) -> int:
    return math.floor(math.log10(max(values, default=default)))


def _cell_text(cell: Cell, format: NumberFormat, notation: _Notation, narrow: bool = False) -> str:
    """`94.40 ± 0.40`, `0.62 (31/50)`, `0.28 (.17–.42)`, `+0.42 [+0.10, +0.74]`, or why there is no number."""
    if cell.value is None:
        return ", ".join(cell.notes) or "—"
    if format == "share":
        counts = ", ".join([f"{round(cell.value * cell.n)}/{cell.n}", *cell.notes])
        return counts if narrow else f"{cell.value:.2f} ({counts})"
    if format == "ratio":
        ends = "" if cell.interval is None else "–".join(_fraction(end) for end in cell.interval)
        ends = f" {ends}" if narrow else f" ({ends})" if ends else ""
        return ", ".join([f"{cell.value:.2f}{ends}", *cell.notes])
    if cell.interval:
        low, high = (notation.text(end, signed=True) for end in cell.interval)
        text = f"{notation.text(cell.value, signed=True)} [{low}, {high}]"
    elif cell.spread is None or format == "integer" or (narrow and notation.scientific):
        text = notation.text(cell.value)
    else:
        text = f"{notation.text(cell.value)} ± {notation.text(cell.spread)}"
    return f"{text} ({', '.join(cell.notes)})" if cell.notes else text


def _fraction(value: float) -> str:
    """A number from 0 to 1 in three characters: `.17`, `1.0`."""
    text = f"{value:.2f}"
    return text[:3] if text.startswith("1") else text[1:]


def _paper_text(cell: Cell, decimals: int) -> str:
    if cell.paper is None:
        return "—"
    spread = "" if cell.paper.spread is None else f" ± {cell.paper.spread:.{decimals}f}"
    return f"{cell.paper.value:.{decimals}f}{spread}"


# The printed grid, the same for terminal, Markdown and LaTeX


@dataclass(frozen=True)
class _Printed:
    """A printed column: its header, its texts, which of them are best; `with_previous` stays beside its neighbour."""

    header: str
    texts: tuple[str, ...]
    best: tuple[bool, ...]
    with_previous: bool = False
    left: bool = False


_TITLE_WIDTHS = (44, 36, 28)
"""How long the lines of a title may be where a table is too wide: the first that makes it fit, else the last."""


def _grid(table: Table, narrow: bool = False, title_width: int = 28) -> list[_Printed]:
    """The columns as they are printed; `narrow` breaks titles and counts of runs into several lines."""
    none = (False,) * len(table.rows)
    head = "optimizer" if any(row.optimizer for row in table.rows) else ""
    titles = tuple(_wrapped(row.title, title_width) if narrow else row.title for row in table.rows)
    printed = [_Printed(head, titles, none, left=True)]
    counted = [row.runs for row in table.rows if row.runs]
    for i, column in enumerate(table.columns):
        printed += _columns(column, [row.cells[i] for row in table.rows], none, narrow)
        # Where nothing is missing, the caption says how many there are; narrow tables leave it at that.
        complete = all(runs.completed == runs.expected for runs in counted)
        if i + 1 == table.lead and counted and not (narrow and complete):
            texts = tuple(_wrapped(runs.text, 12) if narrow else runs.text for runs in counted)
            printed.append(_Printed(counted[0].unit, texts, none, left=True))
    return printed


def _columns(column: Column, cells: Sequence[Cell], none: tuple[bool, ...], narrow: bool) -> list[_Printed]:
    arrow = {"higher": " ↑", "lower": " ↓", None: ""}[column.better]
    notation = _Notation.of(column.format, cells, narrow)
    texts = tuple(_cell_text(cell, column.format, notation, narrow) for cell in cells)
    title = column.title.replace(" ", "\n") if narrow and column.format == "ratio" else column.title
    printed = [_Printed(title + arrow, texts, tuple(cell.best for cell in cells), column.with_previous)]
    if papers := [cell.paper.value for cell in cells if cell.paper]:
        as_printed = max(len(str(value).partition(".")[2]) for value in papers)
        texts = tuple(_paper_text(cell, as_printed) for cell in cells)
        printed.append(_Printed("paper", texts, none, with_previous=True))
    return printed


# Terminal


def _terminal(tables: Sequence[Table], console: Console | None) -> str:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    target = console or Console()
    star = not target.is_terminal
    texts = []
    for table in tables:
        # What is printed is returned, in the target's width and colours.
        buffer = Console(
            file=io.StringIO(),
            width=target.width,
            force_terminal=target.is_terminal,
            color_system=target.color_system if target.is_terminal else None,
            no_color=target.no_color,
            highlight=False,
        )
        buffer.print(Text(table.title, style="bold"))
        for line in table.caption:
            buffer.print(Text(line, style="dim"))
        blocks = _blocks(_grid(table), star, buffer)
        for width in _TITLE_WIDTHS if len(blocks) > 1 else ():
            blocks = _blocks(_grid(table, narrow=True, title_width=width), star, buffer)
            if len(blocks) == 1:
                break
        for block in blocks:
            buffer.print(block)
        notes = list(table.footnotes)
        if star and any(cell.best for row in table.rows for cell in row.cells):
            notes.insert(0, "* the best of its column")
        for note in notes:
            buffer.print(Padding(Text(note, style="dim"), (0, 0, 0, 1)))
        if table.verbatim:
            buffer.print()
        for line in table.verbatim:  # not broken into several: it would not be what it was when copied
            buffer.print(Text(line), soft_wrap=True)
        lines = [line.rstrip() for line in buffer.file.getvalue().splitlines()]
        texts.append("\n".join(line for i, line in enumerate(lines) if line or lines[i - 1]) + "\n")
    return "\n\n".join(texts)


def _blocks(printed: Sequence[_Printed], star: bool, console: Console) -> list[Any]:
    """As few tables as the width allows, each beginning with the titles of the rows."""
    first, *rest = printed
    groups: list[list[_Printed]] = []
    for column in rest:
        if column.with_previous:
            groups[-1].append(column)
        else:
            groups.append([column])
    blocks: list[list[_Printed]] = []
    for group in groups:
        wider = [*blocks[-1], *group] if blocks else []
        if blocks and _width([first, *wider], star, console) <= console.width:
            blocks[-1] = wider
        else:
            blocks.append(group)
    return [_rich_table([first, *block], star) for block in blocks]


def _width(columns: Sequence[_Printed], star: bool, console: Console) -> int:
    from rich.measure import Measurement

    options = console.options.update(width=10_000)
    return Measurement.get(console, options, _rich_table(columns, star)).maximum


def _rich_table(columns: Sequence[_Printed], star: bool):
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        body = max((len(line) for text in column.texts for line in text.splitlines()), default=0)
        together = column.header.replace(" ↑", "\N{NO-BREAK SPACE}↑").replace(" ↓", "\N{NO-BREAK SPACE}↓")
        header = "\n".join(
            line
            for part in together.split("\n")
            for line in textwrap.wrap(part, max(body, 11), break_on_hyphens=False, break_long_words=False)
        )
        table.add_column(
            Text(header, style="dim" if column.header == "paper" else "bold"),
            justify="left" if column.left else "right",
            vertical="top",
            style="dim" if column.header == "paper" else "",
            no_wrap=not column.left,
        )
    for i in range(len(columns[0].texts)):
        row = []
        for column in columns:
            best = column.best[i]
            mark = ("*" if best else " ") if star and any(column.best) else ""
            row.append(Text(column.texts[i] + mark, style="bold" if best else ""))
        table.add_row(*row)
    return table


def _wrapped(text: str, width: int) -> str:
    """`text` in lines of at most `width`, broken after a comma where there is one, else between words."""
    if len(text) <= width:
        return text
    parts = text.replace(", ", ",\n").splitlines()
    return "\n".join(line for part in parts for line in textwrap.wrap(part, width))


# Markdown and LaTeX


def _markdown(tables: Sequence[Table]) -> str:
    from tabulate import tabulate

    parts = []
    for table in tables:
        grid = _grid(table)
        rows = [
            [
                f"**{_markdown_text(c.texts[i])}**" if c.best[i] else _markdown_text(c.texts[i])
                for c in grid
            ]
            for i in range(len(table.rows))
        ]  # fmt: skip
        body = tabulate(
            rows,
            headers=[_markdown_text(column.header) for column in grid],
            tablefmt="pipe",
            colalign=["left" if column.left else "right" for column in grid],
            disable_numparse=True,
        )
        caption = "  \n".join(_markdown_text(line) for line in table.caption)
        notes = "\n".join(f"- {_markdown_text(note)}" for note in table.footnotes)
        block = "\n```yaml\n" + "\n".join(table.verbatim) + "\n```\n" if table.verbatim else ""
        parts.append(f"### {_markdown_text(table.title)}\n\n{caption}\n\n{body}\n\n{notes}\n{block}")
    return "\n".join(parts)


def _markdown_text(text: str) -> str:
    for character in "\\|*_<`":
        text = text.replace(character, "\\" + character)
    return text


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "−": "$-$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "θ": r"$\theta$",
        "₀": "$_0$",
        "₁": "$_1$",
        "₂": "$_2$",
        "λ": r"$\lambda$",
        "β": r"$\beta$",
        "κ": r"$\kappa$",
        "ρ": r"$\rho$",
        "γ": r"$\gamma$",
        "‖": r"$\|$",
        "–": "--",
        "—": "---",
        "…": r"\dots{}",
    }
)


def _latex(tables: Sequence[Table]) -> str:
    """One `table` environment each, without packages; the caption is the title and what stands below it."""
    from tabulate import tabulate

    parts = []
    for table in tables:
        grid = _grid(table)
        rows = [
            [
                rf"\textbf{{{c.texts[i].translate(_LATEX)}}}" if c.best[i] else c.texts[i].translate(_LATEX)
                for c in grid
            ]
            for i in range(len(table.rows))
        ]  # fmt: skip
        body = tabulate(
            rows,
            headers=[column.header.translate(_LATEX) for column in grid],
            tablefmt="latex_raw",
            colalign=["left" if column.left else "right" for column in grid],
            disable_numparse=True,
        )
        caption = ". ".join((table.title, *table.caption)).translate(_LATEX)
        notes = "".join(rf"\par\footnotesize {note.translate(_LATEX)}" + "\n" for note in table.footnotes)
        lines = "".join(line.replace("±", "+-") + "\n" for line in table.verbatim)
        block = f"\\begin{{verbatim}}\n{lines}\\end{{verbatim}}\n" if lines else ""
        parts.append(
            f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n{body}\n{notes}\\end{{table}}\n{block}"
        )  # fmt: skip
    return "\n".join(parts)


# CSV and JSON


_CSV_COLUMNS = (
    *("suite", "kind", "table", "differs", "label", "optimizer", "hyperparameters"),
    *("metric", "mean", "std", "n", "low", "high", "best", "notes", "runs", "paper_value", "paper_spread"),
)


def _csv(tables: Sequence[Table]) -> str:
    import csv

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for table in tables:
        differs = "; ".join(f"{key}={json.dumps(entry['value'])}" for key, entry in table.differs.items())
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                low, high = cell.interval or ("", "")
                paper = (cell.paper.value, cell.paper.spread) if cell.paper else ("", "")
                runs = row.runs.text if row.runs else ""
                who = [row.label or row.title, row.optimizer, json.dumps(dict(row.hyperparameters))]
                measured = [column.key, cell.value, cell.spread, cell.n, low, high, str(cell.best).lower()]
                place = [table.suite, table.kind, table.title, differs]
                writer.writerow([*place, *who, *measured, "; ".join(cell.notes), runs, *paper])
    return stream.getvalue()


def _json(tables: Sequence[Table]) -> str:
    document = {"schema": SCHEMA, "tables": [_table_document(table) for table in tables]}
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _table_document(table: Table) -> dict[str, Any]:
    return {
        "suite": table.suite,
        "kind": table.kind,
        "title": table.title,
        "caption": list(table.caption),
        "settings": dict(table.settings),
        "differs": dict(table.differs),
        "columns": [{"key": c.key, "title": c.title, "better": c.better} for c in table.columns],
        "rows": [_row_document(row, table.columns) for row in table.rows],
        "footnotes": list(table.footnotes),
        "verbatim": list(table.verbatim),
    }


def _row_document(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    runs = row.runs and {
        "unit": row.runs.unit,
        "completed": row.runs.completed,
        "expected": row.runs.expected,
        "diverged": row.runs.diverged,
        "diverged_steps": list(row.runs.diverged_steps),
        "failed": row.runs.failed,
        "interrupted": row.runs.interrupted,
        "missing": row.runs.missing,
    }
    return {
        "title": row.title,
        "label": row.label,
        "optimizer": row.optimizer,
        "hyperparameters": dict(row.hyperparameters),
        "runs": runs,
        "cells": {column.key: _cell_document(cell) for column, cell in zip(columns, row.cells, strict=True)},
    }


def _cell_document(cell: Cell) -> dict[str, Any]:
    paper = cell.paper and {
        "value": cell.paper.value,
        "spread": cell.paper.spread,
        "table": cell.paper.table,
        "column": cell.paper.column,
    }
    return {
        "value": cell.value,
        "spread": cell.spread,
        "n": cell.n,
        "interval": list(cell.interval) if cell.interval else None,
        "best": cell.best,
        "notes": list(cell.notes),
        "paper": paper,
    }
