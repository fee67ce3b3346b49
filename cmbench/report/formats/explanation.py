"""Every column explained: a list for the terminal, tables in Markdown, and JSON for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cmbench.errors import unknown
from cmbench.report.columns import COLUMNS
from cmbench.report.formats.choice import Format
from cmbench.report.formats.markdown import escaped
from cmbench.report.formats.terminal import captured

if TYPE_CHECKING:
    from rich.console import Console

ACCEPTED: tuple[Format, ...] = ("terminal", "markdown", "json")
SCHEMA = "cmbench.columns/1"
_DIRECTIONS = {"higher": "↑ higher is better", "lower": "↓ lower is better", None: "neither is better"}


def explain(format: Format = "terminal", *, console: Console | None = None) -> str:
    """What every column of every table means, by the kind of run that the table is about.

    `terminal` fits the width of `console` (stdout's by default); like `markdown` it gives key, title, direction and
    explanation. `json` is `{"schema": "cmbench.columns/1", "columns": [...]}`; a column has `kind, key, title, better`
    (`higher`, `lower` or null) and `explanation`. Words in capitals stand for what depends on the suite:
    `vs OPTIMIZER`, `s=S`. Raises `UserError` for another format.
    """
    if format == "terminal":
        return _terminal(console)
    if format == "markdown":
        return _markdown()
    if format == "json":
        return _json()
    raise unknown("format of explanations", format, ACCEPTED, "--format")


def _terminal(console: Console | None) -> str:
    from rich.padding import Padding
    from rich.text import Text

    buffer, printed = captured(console)
    for kind, columns in COLUMNS.items():
        buffer.print(Text(f"{kind}\n", style="bold"))
        for column in columns:
            head = Text.assemble((column.key, "bold"), f"  “{column.title}”, {_DIRECTIONS[column.direction]}")
            buffer.print(Padding(head, (0, 0, 0, 1)))
            buffer.print(Padding(Text(f"{column.explanation}\n"), (0, 0, 0, 4)))
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()).rstrip() + "\n"


def _markdown() -> str:
    from tabulate import tabulate

    parts = []
    for kind, columns in COLUMNS.items():
        rows = [
            [f"`{column.key}`", escaped(column.title), column.direction or "—", escaped(column.explanation)]
            for column in columns
        ]
        body = tabulate(rows, headers=["key", "title", "better", "explanation"], tablefmt="pipe", disable_numparse=True)
        parts.append(f"### {kind}\n\n{body}\n")
    return "\n".join(parts)


def _json() -> str:
    documents = [
        {
            "kind": kind,
            "key": column.key,
            "title": column.title,
            "better": column.direction,
            "explanation": column.explanation,
        }
        for kind, columns in COLUMNS.items()
        for column in columns
    ]
    return json.dumps({"schema": SCHEMA, "columns": documents}, indent=1, ensure_ascii=False) + "\n"
