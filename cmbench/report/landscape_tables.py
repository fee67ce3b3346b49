"""The tables of runs on analytic surfaces: toy runs, escape ratios, convergence rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cmbench.experiments.settings import ConvergenceSettings
from cmbench.report.claims import judged
from cmbench.report.grouping import Grouping, Run
from cmbench.report.phrases import landscape_text, surface_text, value_text
from cmbench.report.records import Cell, Column, Row, Table
from cmbench.report.rows import (
    count_starts,
    failures,
    make_row,
    mark_best,
    share,
    spread_note,
    survivors_note,
    survivors_of,
)
from cmbench.report.statistics import summarize, wilson_interval

_HIGHEST_MINIMUM = -0.81
"""The highest of the four minima of the logarithmic Goldstein-Price function, f(1.2, 0.8)."""


def toy_tables(group: Grouping, members: list[Run], differs: Mapping[str, Any]) -> list[Table]:
    """One table: where the starts of every optimizer ended on one surface."""
    settings = members[0].settings
    columns = [
        Column("loss_final", "loss", "lower"),
        Column("sharpness", "sharpness", "lower"),
        Column("loss_best", "best loss", "lower"),
        Column("distance_to_minimum", "distance to minimum", "lower"),
        Column("reached_global", "reached global", "higher", "share"),
        Column("path_length", "path length"),
        Column("cancellation", "cancellation"),
    ]
    # A surface may have no known minimum, and cancellation is only measured where the buffer is traced.
    measured = {key for run in members if run.result for key in run.result.lanes}
    columns = [column for i, column in enumerate(columns) if i < 2 or column.key in measured]
    rows_of = group.rows(members)
    rows = []
    for title, optimizer, (run,) in rows_of:
        starts = count_starts(run)
        cells = []
        for column in columns:
            lanes = list(run.result.lanes.get(column.key, ())) if run.result else []
            paper = group.paper(settings["surface"], optimizer, column.key)
            if run.status in ("missing", "failed", "interrupted"):
                cells.append(Cell(paper=paper))
            elif column.format == "share":
                # A start that diverged has not reached the minimum.
                cells.append(share([bool(lane) for lane in lanes], paper))
            else:
                kept = survivors_of(lanes, run.result)
                summary = summarize(kept)
                notes = (f"n={summary.n}",) if 0 < summary.n < len(kept) else ()
                cells.append(Cell(summary.mean, summary.std, summary.n, paper=paper, notes=notes))
        rows.append(make_row(title, optimizer, cells, starts))
    rows = mark_best(rows, columns)
    notes = [*spread_note(rows, "starts"), *group.paper_footnotes(rows, differs), *failures(rows_of)]
    notes += survivors_note(rows)
    if settings["surface"] == "goldstein_price":
        notes += _unreachable(rows)
    text = landscape_text(settings, members[0].seed)
    table = group.table(surface_text(settings), text, settings, differs, columns, rows, 2, notes)
    return [judged(group, table, settings["surface"])]


def _unreachable(rows: Sequence[Row]) -> list[str]:
    """Says so where the paper prints losses above the highest minimum of the logarithmic Goldstein-Price function."""
    losses = [cell.paper.value for row in rows for cell in row.cells[:1] if cell.paper]
    if not losses or min(losses) <= _HIGHEST_MINIMUM:
        return []
    return [
        f"The paper's losses, {min(losses):g} to {max(losses):g}, cannot be ends on the logarithmic form that it "
        "cites: its minima lie between −3.13 and −0.81. Only the order of the rows can be compared."
    ]


_CRITERIA = {
    "all": "every coordinate lies in the basin of the flat minimum",
    "nearer": "the end is nearer to the origin than to (1, …, 1)",
}


def escape_ratio_tables(group: Grouping, members: list[Run], differs: Mapping[str, Any]) -> list[Table]:
    """One table: for every sharpness coefficient the share of starts that escaped, by both criteria side by side."""
    coefficients = sorted({run.settings["sharpness"] for run in members})
    columns = [
        Column(f"escape_ratio_{name} s={value_text(s)}", f"s={value_text(s)} {name}", "higher", "ratio", name != "all")
        for s in coefficients
        for name in _CRITERIA
    ]
    rows_of = group.rows(members)
    rows = []
    for row_title, optimizer, runs in rows_of:
        found = {run.settings["sharpness"]: run for run in runs}
        cells = [_escape_cell(found.get(s), name) for s in coefficients for name in _CRITERIA]
        rows.append(make_row(row_title, optimizer, cells, None))
    rows = mark_best(rows, columns)
    settings = {k: v for k, v in members[0].settings.items() if k != "sharpness"}
    text = landscape_text(settings, members[0].seed)
    notes = [
        "share of starts that escape the sharp minimum, with its 95 % Wilson interval, by sharpness coefficient s",
        *(f"{name}: {what}" for name, what in _CRITERIA.items()),
        *failures(rows_of),
    ]
    table = group.table("escape ratio", text, settings, differs, columns, rows, len(columns), notes)
    return [judged(group, table)]


def _escape_cell(run: Run | None, criterion: str) -> Cell:
    if run is None or run.status in ("missing", "failed", "interrupted"):
        return Cell(notes=(run.status if run else "missing",))
    lanes = [bool(lane) for lane in run.result.lanes.get(f"escaped_{criterion}", ()) if lane is not None]
    starts = count_starts(run)
    notes = (f"{starts.diverged} diverged",) if starts.diverged else ()
    interval = wilson_interval(sum(lanes), len(lanes)) if lanes else None
    return replace(share(lanes, None), interval=interval, notes=notes)


def convergence_tables(group: Grouping, members: list[Run], differs: Mapping[str, Any]) -> list[Table]:
    """One table: a row per condition number, a column per capacity and momentum, beside the known optimum."""
    settings = {k: v for k, v in members[0].settings.items() if k not in group.rules.within}
    numbers = [float(number) for number in settings["condition_numbers"]]
    in_plan = [run for run in members if group.has_plan and run.planned]
    others = [run for run in members if not (group.has_plan and run.planned)]
    others.sort(key=lambda run: (run.settings["capacity"], run.settings["beta"] or -1))
    runs = [*in_plan, *others]
    titles = [ConvergenceSettings.model_validate(run.settings).title for run in runs]
    columns = [Column(f"rate[{title}]", title, None, "rate") for title in titles]
    columns.append(Column("heavy_ball", "heavy ball, known optimum", None, "rate"))
    rates = [_rates(run) for run in runs]
    rows = []
    for number in numbers:
        cells = [
            Cell(found.get(number), None, int(number in found), notes=() if run.completed else (run.status,))
            for run, found in zip(runs, rates, strict=True)
        ]
        rows.append(Row(f"κ={number:,.10g}", (*cells, Cell(_heavy_ball(number), None, 1))))
    notes = [
        "rate ρ on a quadratic of condition number κ: the factor by which a step shrinks the error in the long run",
        "C: entries of the memory, 0 for classical momentum; heavy ball, known optimum: (√κ−1)/(√κ+1) (Polyak 1964)",
        *_convergence_checks(runs, rates),
        *(f"{group.name}: {r.result.error}" for r in members if r.status == "failed" and r.result.error),
    ]
    text = "asymptotic convergence rate, by memory capacity C and momentum β; α is optimised everywhere"
    return [group.table("convergence", text, settings, differs, columns, rows, len(columns), notes)]


def _rates(run: Run) -> dict[float, float]:
    curves = run.result.curves if run.result else {}
    return dict(zip(map(float, curves.get("condition_number", ())), curves.get("rate", ()), strict=False))


def _heavy_ball(kappa: float) -> float:
    return (kappa**0.5 - 1) / (kappa**0.5 + 1)


def _convergence_checks(runs: Sequence[Run], rates: Sequence[Mapping[float, float]]) -> list[str]:
    """How the computed rates agree with simulated runs and with the known optimum, and what the paper says of them."""
    notes = []
    errors = [run.result.metrics.get("simulation_error") for run in runs if run.completed]
    if any(error is not None for error in errors):
        largest = max(error for error in errors if error is not None)
        notes.append(f"the fitted decay of simulated SGD+CM runs (FIFO buffer) is within {largest:.2%} of ρ everywhere")
    for run, found in zip(runs, rates, strict=True):
        if run.settings["capacity"] == 0 and run.settings["beta"] is None and found:
            gap = max(abs(rate - _heavy_ball(kappa)) for kappa, rate in found.items())
            notes.append(f"classical momentum with α and β optimised is within {gap:.1e} of the known optimum")
    with_memory = [(run, found) for run, found in zip(runs, rates, strict=True) if run.settings["capacity"] and found]
    if with_memory:
        slow = [rate for _, found in with_memory for rate in found.values() if rate >= 1]
        verdict = "This does NOT come out" if slow else "This comes out: ρ < 1 everywhere"
        notes.append(f"Figure 3 of the paper: critical momenta converge for a wide range of κ. {verdict}.")
    classical = {
        run.settings["beta"]: found for run, found in zip(runs, rates, strict=True) if not run.settings["capacity"]
    }
    for run, found in with_memory:
        other = classical.get(run.settings["beta"], {})
        common = [kappa for kappa in found if kappa in other]
        if common:
            faster = sum(found[kappa] < other[kappa] - 1e-6 for kappa in common)
            title = ConvergenceSettings.model_validate(run.settings).title
            notes.append(f"{title} is faster than classical momentum at {faster} of {len(common)} condition numbers")
    return notes
