"""The table of measurements of flatness whose training runs are not among the results."""

from __future__ import annotations

from cmbench.experiments.text import value_text
from cmbench.report.columns.sharpness import QUANTITIES, measured
from cmbench.report.runs.by_optimizer import runs_by_optimizer
from cmbench.report.runs.counts import count_seeds
from cmbench.report.runs.groups import Group
from cmbench.report.table import Table
from cmbench.report.tables.fill import fill, make_table, mark_best
from cmbench.report.tables.footnotes import failures, spread_note, survivors_note


def sharpness_tables(group: Group) -> list[Table]:
    """One table: a row per optimizer. None of a metric that is no one number."""
    by_optimizer = runs_by_optimizer(group)
    settings = group.shared_settings
    if (metric := settings.get("metric", "top-eigenvalue")) not in QUANTITIES:
        return []
    columns = [measured(metric)]
    rows = mark_best(fill(by_optimizer, columns, lambda runs: count_seeds(runs, len(runs))), columns)
    how = ", ".join(
        f"{key} {'all' if value is None and key == 'examples' else value_text(value)}"
        for key, value in settings.items()
        if key != "metric" and (value is not None or key == "examples")
    )
    text = f"{columns[0].title} of the training loss ({how})"
    notes = [*spread_note(rows, "runs"), *failures(by_optimizer), *survivors_note(rows)]
    return [make_table(group, "sharpness", text, columns, rows, notes, settings=settings)]
