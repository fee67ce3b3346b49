"""The tables of runs on analytic surfaces: toy runs, escape ratios, convergence rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

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
from cmbench.report.statistics import summarize


def toy_tables(group: Grouping, members: list[Run], differs: Mapping[str, Any]) -> list[Table]:
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
    text = landscape_text(settings, members[0].seed)
    return [
        group.table(surface_text(settings), text, settings, differs, columns, rows, 2, notes + survivors_note(rows))
    ]


def escape_ratio_tables(group: Grouping, members: list[Run], differs: Mapping[str, Any]) -> list[Table]:
    coefficients = sorted({run.settings["sharpness"] for run in members})
    columns = [Column(f"s={value_text(s)}", f"s={value_text(s)}", "higher", "share") for s in coefficients]
    rows_of = group.rows(members)
    settings = {k: v for k, v in members[0].settings.items() if k != "sharpness"}
    text = landscape_text(settings, members[0].seed)
    tables = []
    for suffix, title in (("all", "by every coordinate"), ("nearer", "by nearer minimum")):
        rows = []
        for row_title, optimizer, runs in rows_of:
            cells = []
            for s in coefficients:
                run = next((run for run in runs if run.settings["sharpness"] == s), None)
                if run is None or run.status in ("missing", "failed", "interrupted"):
                    cells.append(Cell(notes=(run.status if run else "missing",)))
                    continue
                lanes = [lane for lane in run.result.lanes.get(f"escaped_{suffix}", ()) if lane is not None]
                starts = count_starts(run)
                notes = (f"{starts.diverged} diverged",) if starts.diverged else ()
                cells.append(replace(share([bool(lane) for lane in lanes], None), notes=notes))
            rows.append(make_row(row_title, optimizer, cells, None))
        rows = mark_best(rows, columns)
        where = {
            "all": "with every coordinate in the basin of the flat minimum",
            "nearer": "nearer to the flat minimum than to the sharp one",
        }[suffix]
        notes = [f"share of starts (their number) that end {where}, by sharpness coefficient s"]
        notes += failures(rows_of)
        tables.append(group.table(f"escape ratio {title}", text, settings, differs, columns, rows, len(columns), notes))
    return tables


def convergence_tables(group: Grouping, members: list[Run], differs: Mapping[str, Any]) -> list[Table]:
    settings = {k: v for k, v in members[0].settings.items() if k not in group.rules.within}
    numbers = [float(number) for number in settings["condition_numbers"]]
    columns = [Column(f"condition_number={n:g}", f"κ={n:,.10g}", "lower", "rate") for n in numbers]
    rows = []
    in_plan = [run for run in members if group.has_plan and run.planned]
    others = [run for run in members if not (group.has_plan and run.planned)]
    others.sort(key=lambda run: (run.settings["capacity"], run.settings["beta"] or -1))
    for run in in_plan + others:
        curves = run.result.curves if run.result else {}
        rates = dict(zip(map(float, curves.get("condition_number", ())), curves.get("rate", ()), strict=False))
        cells = []
        for number in numbers:
            rate = rates.get(number)
            notes = () if run.completed else (run.status,)
            cells.append(Cell(rate, None, int(rate is not None), notes=notes))
        capacity, beta = run.settings["capacity"], run.settings["beta"]
        title = f"C={capacity}, {'β optimised' if beta is None else f'β={beta:g}'}"
        rows.append(Row(title, tuple(cells)))
    rows = mark_best(rows, columns)
    notes = ["asymptotic rate on a quadratic of condition number κ: the factor by which a step shrinks the error"]
    notes += [f"{group.name}: {r.result.error}" for r in members if r.status == "failed" and r.result.error]
    text = "asymptotic convergence rate, by memory capacity C (0: classical momentum) and momentum β"
    return [group.table("convergence", text, settings, differs, columns, rows, len(columns), notes)]
