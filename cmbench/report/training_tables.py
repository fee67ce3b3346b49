"""The tables of training runs, and of sharpness measurements whose training runs are not there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cmbench.experiments.result import OptimizerReference, Result
from cmbench.report.claims import judged
from cmbench.report.grouping import KINDS, Grouping, Run, key_of, label_of
from cmbench.report.paper import SPEED_UPS, SpeedUp
from cmbench.report.phrases import plural, schedule_text, value_text
from cmbench.report.records import Better, Cell, Column, Table
from cmbench.report.rows import count_seeds, failures, make_row, mark_best, spread_note, survivors_note
from cmbench.report.statistics import paired_difference, speed_up, summarize

JUDGED_BY: dict[str, tuple[str, Better]] = {
    "val_accuracy_best": ("best val. accuracy %", "higher"),
    "val_perplexity_best": ("best val. perplexity", "lower"),
    "learning_accuracy": ("learning accuracy %", "higher"),
}
"""The metrics that runs are judged by, how they are printed, and which direction is better."""
_ALSO = {
    "val_accuracy_best": Column("val_accuracy_final", "final val. accuracy %", "higher", "hundredths"),
    "val_perplexity_best": Column("val_perplexity_final", "final val. perplexity", "lower", "hundredths"),
}


def judged_by(results: Sequence[Result]) -> list[Column]:
    """The columns of the metrics that `results` are judged by; one of a guess where there are none yet."""
    found = [metric for metric in JUDGED_BY if any(metric in result.metrics for result in results)]
    return [Column(metric, *JUDGED_BY[metric], "hundredths") for metric in found or ["val_accuracy_best"]]


def training_text(settings: Mapping[str, Any], metrics: Sequence[Column]) -> str:
    """The workload, the epochs, the batch size and the schedule of training runs judged by `metrics`."""
    schedule = schedule_text(settings.get("schedule") or {}, "epoch")
    each = " per task" if any(column.key == "learning_accuracy" for column in metrics) else ""
    return (
        f"workload {settings.get('workload')}, {plural(settings.get('epochs'), 'epoch')}{each}, "
        f"batch size {settings.get('batch_size')}, {schedule}"
    )


def train_tables(group: Grouping, members: list[Run], differs: Mapping[str, Any]) -> list[Table]:
    """One table: a row per optimizer, means over seeds, and the differences from the first optimizer by seed."""
    settings = members[0].settings
    completed = [run.result for run in members if run.completed]
    metrics = judged_by(completed)
    sharpness = dict(sharpness_columns(group, completed))
    rows_of = group.rows(members)
    reference = next((row for row in rows_of if any(run.completed for run in row[2])), rows_of[0])

    columns = []
    for column in metrics:
        columns.append(column)
        versus = f"{column.key}_vs_{label_of(reference[1])}"
        columns.append(Column(versus, f"vs {reference[0]}", None, "hundredths"))
    race = _race(group, rows_of)
    if race:
        columns.append(Column("speed_up", f"speed-up over {race.title}", "higher", "hundredths"))
    lead = len(columns)
    columns += [_ALSO[column.key] for column in metrics if column.key in _ALSO]
    columns.append(Column("train_loss_final", "train loss", "lower"))
    columns.append(Column("distance", "distance ‖θ−θ₀‖"))
    columns += sharpness
    columns.append(Column("wall_seconds", "seconds per run"))
    columns.append(Column("gradient_evaluations", "gradients per run", None, "integer"))

    planned_seeds = {run.seed for run in members if run.planned}
    rows = []
    for title, optimizer, runs in rows_of:
        cells = []
        for column in columns:
            metric, versus, _ = column.key.partition("_vs_")
            if versus:
                cells.append(_versus(metric, runs, reference[2]) if runs is not reference[2] else Cell())
                continue
            if metric == "speed_up":
                cells.append(replace(race.cell(runs), paper=group.paper(None, optimizer, metric)))
                continue
            values = [measured(run.result, column, sharpness) for run in runs if run.completed]
            summary = summarize(values)
            paper = group.paper(None, optimizer, metric)
            notes = (f"n={summary.n}",) if 0 < summary.n < len(values) else ()
            of_runs = [sharpness[column].get(run.result.id) for run in runs if run.completed and column in sharpness]
            if lost := sum(m is not None and m.status != "completed" for m in of_runs):
                notes = (*notes, f"{lost} failed")
            cells.append(Cell(summary.mean, summary.std, summary.n, paper=paper, notes=notes))
        seeds = {run.seed for run in runs} | (planned_seeds if any(run.planned for run in runs) else set())
        rows.append(make_row(title, optimizer, cells, count_seeds(runs, len(seeds))))
    # With nothing to compare with, the column of differences says nothing.
    kept = [
        i
        for i, column in enumerate(columns)
        if "_vs_" not in column.key or any(row.cells[i].value is not None for row in rows)
    ]
    lead -= len(columns) - len(kept)
    columns = [columns[i] for i in kept]
    rows = [replace(row, cells=tuple(row.cells[i] for i in kept)) for row in rows]
    rows = mark_best(rows, columns)

    notes = spread_note(rows, "seeds")
    if any("_vs_" in column.key for column in columns):
        notes.append(f"vs {reference[0]}: mean difference over the seeds that both completed, with its 95 % t-interval")
    if race:
        notes.append(race.note)
    notes += group.paper_footnotes(rows, differs) + failures(rows_of) + survivors_note(rows)
    text = training_text(settings, metrics)
    return [judged(group, group.table("", text, settings, differs, columns, rows, lead, notes))]


@dataclass(frozen=True)
class _Race:
    """Who is how much sooner as good as the optimizer called `title`, whose runs are `baseline`."""

    title: str
    baseline: list[Run]
    rule: SpeedUp

    @property
    def note(self) -> str:
        return (
            f"speed-up: epochs that {self.title} takes to its best validation accuracy of the first "
            f"{self.rule.epochs} epochs, over those that the row's optimizer takes to it; by seed, then averaged"
        )

    def cell(self, runs: list[Run]) -> Cell:
        """Mean over the seeds in which both completed and these runs get there; the others are counted in its notes."""
        mine, theirs = (
            {run.seed: run.result.curves.get("val_accuracy", []) for run in row if run.completed}
            for row in (runs, self.baseline)
        )
        if runs is self.baseline:
            return Cell(1.0 if mine else None, None, len(mine))
        common = sorted(mine.keys() & theirs.keys())
        ratios = [speed_up(theirs[seed], mine[seed], self.rule.epochs) for seed in common]
        summary = summarize(ratios)
        missed = len(common) - summary.n
        notes = (f"not reached in {missed} of {plural(len(common), 'seed')}",) if missed else ()
        if len(common) < len(mine):
            notes = (f"n={summary.n}", *notes)
        return Cell(summary.mean, summary.std, summary.n, notes=notes, missed=missed)


def _race(group: Grouping, rows_of: Sequence[tuple[str, OptimizerReference, list[Run]]]) -> _Race | None:
    """The race of a suite whose table in the paper has a column of speed-ups, where its reference has a row."""
    place = group.reference.settings.paper if group.reference else None
    rule = SPEED_UPS.get(place.table) if place else None
    if rule is None:
        return None
    named = [(title, runs) for title, optimizer, runs in rows_of if optimizer.name == rule.over]
    return _Race(*named[0], rule) if named else None


def sharpness_columns(group: Grouping, completed: Sequence[Result]) -> list[tuple[Column, dict[str, Result]]]:
    """One column for each way in which these runs were measured, with the measurements by the run they are of."""
    ids = {result.id for result in completed}
    ways: dict[str, dict[str, Result]] = {}
    for result in group.measured:
        if result.settings.get("of") in ids:
            way = {k: v for k, v in result.settings.items() if k not in KINDS["sharpness"].within}
            ways.setdefault(key_of(way), {})[result.settings["of"]] = result
    decoded = [json.loads(way) for way in ways]
    columns = []
    for way, results in zip(decoded, ways.values(), strict=True):
        varying = [f"{k}={value_text(v)}" for k, v in way.items() if any(w.get(k) != v for w in decoded)]
        detail = ", ".join(varying)
        key = f"top_eigenvalue[{detail}]" if detail else "top_eigenvalue"
        title = f"sharpness λmax ({detail})" if detail else "sharpness λmax"
        columns.append((Column(key, title, "lower"), results))
    return columns


def sharpness_tables(group: Grouping, members: list[Run], differs: Mapping[str, Any]) -> list[Table]:
    """Measurements whose training runs are not among the results."""
    columns = [Column("top_eigenvalue", "sharpness λmax", "lower")]
    rows_of = group.rows(members)
    rows = []
    for title, optimizer, runs in rows_of:
        summary = summarize(run.result.metrics.get("top_eigenvalue") for run in runs if run.completed)
        cells = [Cell(summary.mean, summary.std, summary.n)]
        rows.append(make_row(title, optimizer, cells, count_seeds(runs, len(runs))))
    settings = {k: v for k, v in members[0].settings.items() if k not in group.rules.within}
    how = ", ".join(f"{key} {'all' if value is None else value_text(value)}" for key, value in settings.items())
    text = f"largest eigenvalue of the training loss's Hessian ({how})"
    rows = mark_best(rows, columns)
    notes = [*spread_note(rows, "runs"), *failures(rows_of), *survivors_note(rows)]
    return [group.table("sharpness", text, settings, differs, columns, rows, 1, notes)]


def measured(result: Result, column: Column, sharpness: Mapping[Column, Mapping[str, Result]]) -> float | None:
    """What a training run contributes to `column`; `sharpness` holds the measurements by column and run."""
    if column in sharpness:
        measurement = sharpness[column].get(result.id)
        return measurement.metrics.get("top_eigenvalue") if measurement and measurement.status == "completed" else None
    if column.key in ("wall_seconds", "gradient_evaluations"):
        return getattr(result.cost, column.key) if result.cost else None
    return result.metrics.get(column.key)


def _versus(metric: str, runs: Sequence[Run], baseline: Sequence[Run]) -> Cell:
    ours, theirs = (
        {run.seed: run.result.metrics.get(metric) for run in row if run.completed} for row in (runs, baseline)
    )
    difference = paired_difference(ours, theirs)
    if difference is None:
        return Cell()
    partial = difference.n < min(len(ours), len(theirs))
    notes = (f"n={difference.n}",) if partial else ()
    return Cell(difference.mean, None, difference.n, (difference.low, difference.high), notes=notes)
