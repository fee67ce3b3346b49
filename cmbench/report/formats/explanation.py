"""Every column explained: a list for people, and JSON for other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cmbench.report.columns import COLUMNS
from cmbench.report.formats.terminal import captured
from cmbench.report.table import Column

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "cmbench.columns/1"
_DIRECTIONS = {"higher": "↑ higher is better", "lower": "↓ lower is better", None: "neither is better"}


def explain(*, as_json: bool = False, console: Console | None = None) -> str:
    """What every column of every table means, by the kind of run that the table is about.

    For people, in the width of `console` (stdout's by default): key, title, direction and explanation. As JSON,
    `{"schema": "cmbench.columns/1", "columns": [...]}`; a column has `kind, key, title, better` (`higher`, `lower` or
    null) and `explanation`. Words in capitals stand for what depends on the suite: `vs OPTIMIZER`, `s=S`.
    """
    return _as_json(COLUMNS) if as_json else _as_text(COLUMNS, console)


def _as_json(columns: Mapping[Any, Sequence[Column[Any]]]) -> str:
    documents = [
        {
            "kind": kind,
            "key": column.key,
            "title": column.title,
            "better": column.direction,
            "explanation": column.explanation,
        }
        for kind, own in columns.items()
        for column in own
    ]
    return json.dumps({"schema": SCHEMA, "columns": documents}, indent=1, ensure_ascii=False) + "\n"


def _as_text(columns: Mapping[Any, Sequence[Column[Any]]], console: Console | None) -> str:
    from rich.padding import Padding
    from rich.text import Text

    buffer, printed = captured(console)
    for kind, own in columns.items():
        buffer.print(Text(f"{kind}\n", style="bold"))
        for column in own:
            head = Text.assemble((column.key, "bold"), f"  “{column.title}”, {_DIRECTIONS[column.direction]}")
            buffer.print(Padding(head, (0, 0, 0, 1)))
            buffer.print(Padding(Text(f"{column.explanation}\n"), (0, 0, 0, 4)))
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()).rstrip() + "\n"
