"""The table of escape ratios: for every sharpness coefficient the share of starts that escaped, by each criterion."""

from __future__ import annotations

from cmbench.report.captions import landscape_text
from cmbench.report.columns.escape import CRITERIA, escape_ratio
from cmbench.report.runs.by_optimizer import runs_by_optimizer
from cmbench.report.runs.groups import Group
from cmbench.report.table import Table
from cmbench.report.tables.fill import fill, make_table, mark_best
from cmbench.report.tables.footnotes import failures, one_by_one
from cmbench.report.verdicts.sentences import with_verdicts


def escape_ratio_tables(group: Group) -> list[Table]:
    """One table: a row per optimizer, the criteria side by side."""
    by_optimizer, paper = runs_by_optimizer(group), group.suite.paper
    coefficients = sorted({run.settings["sharpness"] for run in group.runs})
    columns = [escape_ratio(criterion, s) for s in coefficients for criterion in CRITERIA]
    rows = mark_best(fill(by_optimizer, columns, lambda runs: None), columns)
    notes = [
        "share of starts that escape the sharp minimum, with its 95 % Wilson interval, by sharpness coefficient s",
        *(f"{criterion.key}: {criterion.meaning}" for criterion in CRITERIA),
        *failures(by_optimizer),
        *one_by_one(by_optimizer),
    ]
    settings = group.shared_settings
    text = landscape_text(settings, group.runs[0].seed, paper.place if paper else None)
    table = make_table(
        group, "escape ratio", text, columns, rows, notes, lead=len(columns), settings=settings
    )  # fmt: skip
    return [with_verdicts(table, group)]
