"""Tables on a terminal: as wide as it is, what is too wide below, the best in bold."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from cmbench.report.formats.grid import PrintedColumn, printed_columns
from cmbench.report.table import Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_BETWEEN = 3
"""Spaces between two columns; the edges of a table have two together."""
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
        blocks = _blocks(printed_columns(table), star, buffer.width)
        for width in _TITLE_WIDTHS if len(blocks) > 1 else ():
            blocks = _blocks(printed_columns(table, narrow=True, title_width=width), star, buffer.width)
            if len(blocks) == 1:
                break
        for block in blocks:
            buffer.print(_rich_table(block, star))
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


def _blocks(printed: Sequence[PrintedColumn], star: bool, width: int) -> list[list[PrintedColumn]]:
    """The columns of as few tables as the width allows, each beginning with the titles of the rows."""
    first, *rest = printed
    groups: list[list[PrintedColumn]] = []
    for column in rest:
        if column.with_previous:
            groups[-1].append(column)
        else:
            groups.append([column])
    blocks: list[list[PrintedColumn]] = []
    left = 0
    for group in groups:
        wanted = sum(map(partial(_width, star=star), group))
        if blocks and wanted <= left:
            blocks[-1] += group
        else:
            blocks.append([first, *group])
            left = width - _width(first, star) + 1
        left -= wanted
    return blocks


def _width(column: PrintedColumn, star: bool) -> int:
    """The length of its longest line, and of the space beside it: rich takes far longer to measure a table."""
    from rich.cells import cell_len

    texts = [text for i in range(len(column.texts)) for text in _text(column, i, star).splitlines()]
    return max(map(cell_len, (*_header(column).splitlines(), *texts)), default=0) + _BETWEEN


def _header(column: PrintedColumn) -> str:
    """In lines about as long as what stands below it."""
    body = max((len(line) for text in column.texts for line in text.splitlines()), default=0)
    together = column.header.replace(" ↑", "\N{NO-BREAK SPACE}↑").replace(" ↓", "\N{NO-BREAK SPACE}↓")
    return "\n".join(
        line
        for part in together.split("\n")
        for line in textwrap.wrap(part, max(body, 11), break_on_hyphens=False, break_long_words=False)
    )


def _text(column: PrintedColumn, i: int, star: bool) -> str:
    """What stands in row `i`, with a star or the space for one where there are stars."""
    mark = ("*" if column.best[i] else " ") if star and any(column.best) else ""
    return column.texts[i] + mark


def _rich_table(columns: Sequence[PrintedColumn], star: bool) -> RichTable:
    from rich import box
    from rich import table as rich_table
    from rich.text import Text

    table = rich_table.Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        table.add_column(
            Text(_header(column), style="dim" if column.header == "paper" else "bold"),
            justify="left" if column.left else "right",
            vertical="top",
            style="dim" if column.header == "paper" else "",
            no_wrap=not column.left,
        )
    for i in range(len(columns[0].texts)):
        row = [Text(_text(column, i, star), style="bold" if column.best[i] else "") for column in columns]
        table.add_row(*row)
    return table
