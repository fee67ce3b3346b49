"""The cells that columns read: means and shares."""

from __future__ import annotations

from collections.abc import Sequence

from cmbench.report.statistics import summarize
from cmbench.report.table import Cell


def mean_cell(values: Sequence[float | None]) -> Cell:
    """Mean and sample deviation of the finite values, and over how many where some have none."""
    summary = summarize(values)
    notes = (f"n={summary.n}",) if 0 < summary.n < len(values) else ()
    return Cell(summary.mean, summary.std, summary.n, notes=notes)


def share_cell(lanes: Sequence[bool]) -> Cell:
    """The share of `lanes` that are true."""
    return Cell(sum(lanes) / len(lanes), None, len(lanes)) if lanes else Cell()
