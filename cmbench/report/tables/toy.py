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
from cmbench.report.runs.run import Run
from cmbench.report.table import Row, Table
from cmbench.report.tables.fill import fill, make_table, mark_best
from cmbench.report.tables.footnotes import failures, one_by_one, paper_notes, spread_note, survivors_note
from cmbench.report.verdicts.sentences import with_verdicts


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
    notes += [*one_by_one(by_optimizer), *_about_minima(group.runs, rows)]
    text = landscape_text(group.settings, group.runs[0].seed, paper.place if paper else None)
    table = make_table(group, surface_text(group.settings), text, columns, rows, notes, lead=2)
    return [with_verdicts(table, group)]


def _about_minima(runs: Sequence[Run], rows: Sequence[Row]) -> list[str]:
    """The minima of a surface that has few, and whether the paper prints losses that no end on it can have."""
    minima = next((run.result.curves["minima"] for run in runs if run.result and "minima" in run.result.curves), [])
    if not minima:
        return []
    listed = ", ".join(f"{_number(loss, '.2f')} / {_number(sharpness, '.1f')}" for loss, sharpness in minima)
    sharpest = max(minima, key=lambda minimum: minimum[1]) is minima[0]
    notes = [f"its minima, loss / sharpness: {listed}{'; the deepest is the sharpest' if sharpest else ''}"]
    losses = [cell.paper.value for row in rows for cell in row.cells[:1] if cell.paper]
    if losses and min(losses) > minima[-1][0]:
        lowest, highest = (_number(minimum[0], ".2f") for minimum in (minima[0], minima[-1]))
        notes.append(
            f"The paper's losses, {min(losses):g} to {max(losses):g}, cannot be ends on the logarithmic form that it "
            f"cites: its minima lie between {lowest} and {highest}. Only the order of the rows can be compared."
        )
    return notes


def _number(value: float, form: str) -> str:
    return format(value, form).replace("-", "−")
