"""Tables as HTML that can be sorted: a header for each column and row, and beside the text of a cell its number."""

from __future__ import annotations

from collections.abc import Sequence

from cmbench.report.formats.grid import printed_columns
from cmbench.report.page.embed import text
from cmbench.report.page.numbers import short
from cmbench.report.table import Table


def table_html(table: Table, number: str, heading: str, rows: Sequence[str | None]) -> str:
    """A table under a `heading`, with its caption and notes.

    `number` tells it from all others of the page; `rows` are the keys under which the rows' details are found.
    """
    name = text(f"Table {number}: {table.title}")
    caption = "".join(f"<p>{text(line)}</p>" for line in table.caption)
    notes = "".join(f"<li>{text(note)}</li>" for note in table.footnotes)
    block = f"<pre tabindex='0'>{text(chr(10).join(table.verbatim))}</pre>" if table.verbatim else ""
    notes = f"<ul class=notes>{notes}</ul>" if notes else ""
    return (
        f'<div class="table" data-rows><h3>{text(heading)}</h3><div class="caption">{caption}</div>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table aria-label="{name}">'
        f"{_head(table)}<tbody>{_body(table, rows)}</tbody></table></div>"
        f"{notes}{block}</div>"
    )


def _head(table: Table) -> str:
    headers = [
        f'<th scope="col"{"" if column.left else " class=n"}><button type="button">{text(column.header or "setting")}'
        "</button></th>"
        for column in printed_columns(table)
    ]
    return f"<thead><tr>{''.join(headers)}</tr></thead>"


def _body(table: Table, rows: Sequence[str | None]) -> str:
    columns = list(zip(printed_columns(table), _values(table), strict=True))
    lines = []
    for i, key in enumerate(rows):
        cells = []
        for j, (column, values) in enumerate(columns):
            shown = text(column.texts[i])
            if j == 0:
                inner = f'<button type="button" class="open" data-row="{key}">{shown}</button>' if key else shown
                cells.append(f'<th scope="row">{inner}</th>')
                continue
            shown = f"<strong>{shown}<span class=vh> (best)</span></strong>" if column.best[i] else shown
            number = "" if (value := short(values[i], 12)) is None else f' data-value="{value}"'
            cells.append(f"<td{'' if column.left else ' class=n'}{number}>{shown}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "".join(lines)


def _values(table: Table) -> list[list[float | None]]:
    """The numbers that the printed columns are sorted by, in the order in which they stand; none for the titles."""
    found: list[list[float | None]] = [[None] * len(table.rows)]
    counted = any(row.runs for row in table.rows)
    for i in range(len(table.columns)):
        cells = [row.cells[i] for row in table.rows]
        found.append([cell.value for cell in cells])
        if any(cell.paper for cell in cells):
            found.append([cell.paper.value if cell.paper else None for cell in cells])
        if i + 1 == table.lead and counted:
            found.append([row.runs.completed if row.runs else None for row in table.rows])
    return found
