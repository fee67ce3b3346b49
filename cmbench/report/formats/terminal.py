"""Tables on a terminal: as wide as it is, what is too wide below, the best in bold."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cmbench.report.formats.grid import PrintedColumn, printed_columns
from cmbench.report.table import Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_TITLE_WIDTHS = (44, 36, 28)
"""How long the lines of a title may be where a table is too wide: the first that makes it fit, else the last."""


def render_terminal(tables: Sequence[Table], console: Console | None = None) -> str:
    """`tables` in the width and colours of `console`, stdout's by default."""
    from rich.padding import Padding
    from rich.text import Text

    texts = []
    for table in tables:
        buffer, printed = captured(console)
        star = not buffer.is_terminal
        buffer.print(Text(table.title, style="bold"))
        for line in table.caption:
            buffer.print(Text(line, style="dim"))
        blocks = _blocks(printed_columns(table), star, buffer)
        for width in _TITLE_WIDTHS if len(blocks) > 1 else ():
            blocks = _blocks(printed_columns(table, narrow=True, title_width=width), star, buffer)
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
        lines = [line.rstrip() for line in printed.getvalue().splitlines()]
        texts.append("\n".join(line for i, line in enumerate(lines) if line or lines[i - 1]) + "\n")
    return "\n\n".join(texts)


def captured(console: Console | None) -> tuple[Console, io.StringIO]:
    """A console of the same width and colours as `console`, stdout's by default, and what will be printed there."""
    from rich.console import Console

    target, printed = console or Console(), io.StringIO()
    buffer = Console(
        file=printed,
        width=target.width,
        force_terminal=target.is_terminal,
        # What rich gives as a text it takes as a literal.
        color_system=target.color_system if target.is_terminal else None,  # type: ignore[arg-type]
        no_color=target.no_color,
        highlight=False,
    )
    return buffer, printed


def _blocks(printed: Sequence[PrintedColumn], star: bool, console: Console) -> list[RichTable]:
    """As few tables as the width allows, each beginning with the titles of the rows."""
    first, *rest = printed
    groups: list[list[PrintedColumn]] = []
    for column in rest:
        if column.with_previous:
            groups[-1].append(column)
        else:
            groups.append([column])
    blocks: list[list[PrintedColumn]] = []
    for group in groups:
        wider = [*blocks[-1], *group] if blocks else []
        if blocks and _width([first, *wider], star, console) <= console.width:
            blocks[-1] = wider
        else:
            blocks.append(group)
    return [_rich_table([first, *block], star) for block in blocks]


def _width(columns: Sequence[PrintedColumn], star: bool, console: Console) -> int:
    from rich.measure import Measurement

    options = console.options.update(width=10_000)
    return Measurement.get(console, options, _rich_table(columns, star)).maximum


def _rich_table(columns: Sequence[PrintedColumn], star: bool) -> RichTable:
    from rich import box
    from rich import table as rich_table
    from rich.text import Text

    table = rich_table.Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
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
