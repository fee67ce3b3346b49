"""The table of runs on one surface: where the starts of every optimizer ended."""

from __future__ import annotations

from collections.abc import Sequence

from cmbench.experiments.result import OptimizerReference
from cmbench.report.captions import landscape_text, surface_text
from cmbench.report.columns.toy import LOSS, MEASURED, SHARPNESS
from cmbench.report.paper.numbers import PaperValue
from cmbench.report.runs.by_optimizer import runs_by_optimizer
from cmbench.report.runs.counts import count_starts
from cmbench.report.runs.groups import Group
from cmbench.report.table import Row, Table
from cmbench.report.tables.fill import fill, make_table, mark_best
from cmbench.report.tables.footnotes import failures, paper_notes, spread_note, survivors_note
from cmbench.report.verdicts.sentences import with_verdicts

_HIGHEST_MINIMUM = -0.81
"""The highest of the four minima of the logarithmic Goldstein-Price function, f(1.2, 0.8)."""


def toy_tables(group: Group) -> list[Table]:
    """One table: a row per optimizer."""
    by_optimizer, paper = runs_by_optimizer(group), group.suite.paper
    surface = group.settings["surface"]
    measured = {key for run in group.runs if run.result for key in run.result.lanes}
    columns = [LOSS, SHARPNESS, *(column for column in MEASURED if column.key in measured)]

    def published(metric: str, optimizer: OptimizerReference) -> PaperValue | None:
        return paper.value(metric, optimizer, surface) if paper else None

    rows = mark_best(fill(by_optimizer, columns, lambda runs: count_starts(runs[0]), published), columns)
    notes = [*spread_note(rows, "starts"), *paper_notes(group, rows), *failures(by_optimizer), *survivors_note(rows)]
    if surface == "goldstein_price":
        notes += _unreachable(rows)
    text = landscape_text(group.settings, group.runs[0].seed, paper.place if paper else None)
    table = make_table(group, surface_text(group.settings), text, columns, rows, notes, lead=2)
    return [with_verdicts(table, group)]


def _unreachable(rows: Sequence[Row]) -> list[str]:
    """Says so where the paper prints losses above the highest minimum of the logarithmic Goldstein-Price function."""
    losses = [cell.paper.value for row in rows for cell in row.cells[:1] if cell.paper]
    if not losses or min(losses) <= _HIGHEST_MINIMUM:
        return []
    return [
        f"The paper's losses, {min(losses):g} to {max(losses):g}, cannot be ends on the logarithmic form that it "
        "cites: its minima lie between −3.13 and −0.81. Only the order of the rows can be compared."
    ]
