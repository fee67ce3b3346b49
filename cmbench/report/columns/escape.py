"""The columns of escape ratios: one for each coefficient and criterion, read from the runs of one optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cmbench.experiments.text import value_text
from cmbench.report.columns.cells import share_cell
from cmbench.report.runs.counts import count_starts
from cmbench.report.runs.run import Run
from cmbench.report.statistics import wilson_interval
from cmbench.report.table import Cell, Column


@dataclass(frozen=True)
class Criterion:
    """When a start counts as escaped: its key, what it asks for, and the same in a few words."""

    key: str
    meaning: str
    short: str


CRITERIA = (
    Criterion("all", "every coordinate lies in the basin of the flat minimum", "every coordinate in the flat basin"),
    Criterion("nearer", "the end is nearer to the origin than to (1, …, 1)", "nearer to the flat minimum"),
    Criterion("reached", "every coordinate ends within 0.1 of the flat minimum", "within 0.1 of the flat minimum"),
)


def ratio_key(metric: str, sharpness: float | str) -> str:
    """The key of the column of `metric` under a sharpness coefficient s."""
    return f"{metric} s={value_text(sharpness)}"


def escape_ratio(criterion: Criterion, sharpness: float | str) -> Column[Sequence[Run]]:
    """The share of starts that escape on the surface of one coefficient s."""

    def read(runs: Sequence[Run]) -> Cell:
        run = {run.settings["sharpness"]: run for run in runs}.get(sharpness)
        if run is None or run.result is None or not run.result.finished:
            return Cell(notes=(run.status if run else "missing",))
        lanes = [bool(lane) for lane in run.result.lanes.get(f"escaped_{criterion.key}", ()) if lane is not None]
        starts = count_starts(run)
        notes = (f"{starts.diverged} diverged",) if starts.diverged else ()
        interval = wilson_interval(sum(lanes), len(lanes)) if lanes else None
        return replace(share_cell(lanes), interval=interval, notes=notes)

    return Column(
        ratio_key(f"escape_ratio_{criterion.key}", sharpness),
        f"s={value_text(sharpness)} {criterion.key}",
        "higher",
        "ratio",
        f"Share of the starts that escape the sharp minimum at sharpness coefficient s={value_text(sharpness)}, with "
        f"its 95 % Wilson interval; a start has escaped when {criterion.meaning}.",
        read,
        with_previous=criterion is not CRITERIA[0],
    )


COLUMNS = tuple(escape_ratio(criterion, "S") for criterion in CRITERIA)
