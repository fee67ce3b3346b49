"""The table of training runs: a row per optimizer, means over seeds, and differences by seed from the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmbench.experiments.result import OptimizerReference, Result
from cmbench.report.captions import plural, schedule_text
from cmbench.report.columns.metrics import TrainingColumn, judged_by
from cmbench.report.columns.sharpness import flatness_columns
from cmbench.report.columns.speed_up import speed_up_note, speed_up_over
from cmbench.report.columns.telemetry import telemetry_columns
from cmbench.report.columns.training import (
    DISTANCE,
    GRADIENTS,
    TRAIN_LOSS,
    WALL_SECONDS,
    beside,
    difference_from,
)
from cmbench.report.paper.numbers import SPEED_UPS, PaperValue
from cmbench.report.runs.by_optimizer import OptimizerRuns, runs_by_optimizer
from cmbench.report.runs.counts import count_seeds
from cmbench.report.runs.groups import Group
from cmbench.report.runs.run import Run, asked_seeds, completed
from cmbench.report.table import RunCounts, Table
from cmbench.report.tables.fill import fill, make_table, mark_best, without_empty
from cmbench.report.tables.footnotes import failures, paper_notes, spread_note, survivors_note
from cmbench.report.verdicts.sentences import with_verdicts


def training_tables(group: Group, measured: Sequence[Result]) -> list[Table]:
    """One table; `measured` are the sharpness measurements, of these runs and of others."""
    by_optimizer = runs_by_optimizer(group)
    done, paper = completed(group.runs), group.suite.paper
    metrics = judged_by(done, paper.metrics if paper else ())
    baseline = next((row for row in by_optimizer if completed(row.runs)), by_optimizer[0])
    leading, notes = _leading_columns(group, by_optimizer, metrics, baseline)
    following = [
        *dict.fromkeys(column for metric in metrics for column in beside(metric)),
        *(TRAIN_LOSS, DISTANCE),
        *flatness_columns(measured, done),
        *(WALL_SECONDS, GRADIENTS),
        *telemetry_columns(done),
    ]
    seeds = {run.seed for run in group.runs if run.planned}
    if not group.suite.has_plan:
        seeds = seeds.union(*(asked_seeds(run.result) for run in group.runs if run.result))

    def count(runs: Sequence[Run]) -> RunCounts:
        own = {run.seed for run in runs}
        return count_seeds(runs, len(own | seeds if any(run.planned for run in runs) else own))

    def published(metric: str, optimizer: OptimizerReference) -> PaperValue | None:
        return paper.value(metric, optimizer) if paper else None

    columns, rows = without_empty([*leading, *following], fill(by_optimizer, [*leading, *following], count, published))
    rows = mark_best(rows, columns)
    if any(column.title == f"vs {baseline.title}" for column in columns):
        what = "mean difference over the seeds that both completed, with its 95 % t-interval"
        notes = [f"vs {baseline.title}: {what}", *notes]
    notes = [*spread_note(rows, "seeds"), *notes, *paper_notes(group, rows)]
    notes += [*failures(by_optimizer), *survivors_note(rows)]
    lead = sum(column in leading for column in columns)
    table = make_table(group, "", training_text(group.settings, metrics), columns, rows, notes, lead=lead)
    return [with_verdicts(table, group)]


def training_text(settings: Mapping[str, Any], metrics: Sequence[TrainingColumn]) -> str:
    """The workload, the epochs, the batch size and the schedule of training runs judged by `metrics`."""
    schedule = schedule_text(settings.get("schedule") or {}, "epoch")
    each = " per task" if any(metric.key.startswith("learning_") for metric in metrics) else ""
    options = ", ".join(f"{name} {value}" for name, value in settings.get("options", {}).items())
    workload = f"{settings.get('workload')} ({options})" if options else settings.get("workload")
    return (
        f"workload {workload}, {plural(settings.get('epochs'), 'epoch')}{each}, "
        f"batch size {settings.get('batch_size')}, {schedule}"
    )


def _leading_columns(
    group: Group, by_optimizer: Sequence[OptimizerRuns], metrics: Sequence[TrainingColumn], baseline: OptimizerRuns
) -> tuple[list[TrainingColumn], list[str]]:
    """What runs are judged by, with its difference from the baseline, and the speed-up where the paper has it.

    The speed-up's definition is to be noted below the table.
    """
    columns = [column for metric in metrics for column in (metric, difference_from(baseline, metric))]
    rule = SPEED_UPS.get(group.suite.paper.place.table or 0) if group.suite.paper else None
    reference = next((row for row in by_optimizer if rule and row.optimizer.name == rule.over), None)
    if rule is None or reference is None:
        return columns, []
    return [*columns, speed_up_over(reference, rule)], [speed_up_note(reference, rule)]
