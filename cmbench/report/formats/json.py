"""Tables as JSON, for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cmbench.report.table import Cell, Column, Difference, Row, Table

SCHEMA = "cmbench.report/1"


def render_json(tables: Sequence[Table]) -> str:
    """The document that `render` describes."""
    document = {"schema": SCHEMA, "tables": [_table_document(table) for table in tables]}
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _table_document(table: Table) -> dict[str, Any]:
    return {
        "suite": table.suite,
        "kind": table.kind,
        "title": table.title,
        "caption": list(table.caption),
        "settings": dict(table.settings),
        "differs": {each.key: _difference_document(each) for each in table.differs},
        "columns": [{"key": c.key, "title": c.title, "better": c.direction} for c in table.columns],
        "rows": [_row_document(row, table.columns) for row in table.rows],
        "footnotes": list(table.footnotes),
        "verbatim": list(table.verbatim),
    }


def _row_document(row: Row, columns: Sequence[Column[Any]]) -> dict[str, Any]:
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


def _difference_document(difference: Difference) -> dict[str, Any]:
    return {"value": difference.value} | ({"suite": difference.suite} if difference.from_suite else {})
