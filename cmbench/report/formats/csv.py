"""Tables as CSV: one line per cell, in full precision."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from cmbench.report.table import Table

_HEADER = (
    *("suite", "kind", "table", "differs", "row", "label", "optimizer", "hyperparameters"),
    *("metric", "mean", "std", "n", "low", "high", "best", "notes", "runs", "paper_value", "paper_spread"),
)


def render_csv(tables: Sequence[Table]) -> str:
    """A line per cell, under the names of `_HEADER`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_HEADER)
    for table in tables:
        differs = "; ".join(f"{each.key}={json.dumps(each.value)}" for each in table.differs)
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                low, high = cell.interval or ("", "")
                paper = (cell.paper.value, cell.paper.spread) if cell.paper else ("", "")
                runs = row.runs.text if row.runs else ""
                who = [row.title, row.label, row.optimizer, json.dumps(dict(row.hyperparameters))]
                measured = [column.key, cell.value, cell.spread, cell.n, low, high, str(cell.best).lower()]
                place = [table.suite, table.kind, table.title, differs]
                writer.writerow(map(_no_formula, [*place, *who, *measured, "; ".join(cell.notes), runs, *paper]))
    return stream.getvalue()


def _no_formula(value: object) -> object:
    """A text that a spreadsheet would take for a formula begins with an apostrophe, which it takes for a text's.

    So does one with a sign that ASCII lacks: it may be printed as `-`.
    """
    first = value[:1] if isinstance(value, str) else ""
    return f"'{value}" if first and (first in "=+-@" or not (first.isascii() or first.isalpha())) else value
