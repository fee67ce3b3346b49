"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from cmbench.report.formats.grid import printed_columns
from cmbench.report.table import Table


def render_markdown(tables: Sequence[Table]) -> str:
    """A heading, a caption, a table and a list of notes each."""
    from tabulate import tabulate

    parts = []
    for table in tables:
        grid = printed_columns(table)
        rows = [
            [
                f"**{escaped(c.texts[i])}**" if c.best[i] else escaped(c.texts[i])
                for c in grid
            ]
            for i in range(len(table.rows))
        ]  # fmt: skip
        body = tabulate(
            rows,
            headers=[escaped(column.header) for column in grid],
            tablefmt="pipe",
            colalign=["left" if column.left else "right" for column in grid],
            disable_numparse=True,
        )
        caption = "  \n".join(escaped(line) for line in table.caption)
        notes = "\n".join(f"- {escaped(note)}" for note in table.footnotes)
        block = "\n```yaml\n" + "\n".join(table.verbatim) + "\n```\n" if table.verbatim else ""
        parts.append(f"### {escaped(table.title)}\n\n{caption}\n\n{body}\n\n{notes}\n{block}")
    return "\n".join(parts)


def escaped(text: str) -> str:
    """`text` with what Markdown would take for markup escaped."""
    for character in "\\|*_<`":
        text = text.replace(character, "\\" + character)
    return text.replace("](", "]\\(")  # a link; brackets alone are those of intervals
