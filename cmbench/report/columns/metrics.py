"""The columns of what training runs are judged by: the metric that a workload has, whichever it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache

from cmbench.experiments.result import Result
from cmbench.report.columns.cells import mean_cell
from cmbench.report.runs.run import Run, completed
from cmbench.report.table import Cell, Column, Direction, NumberFormat

TrainingColumn = Column[Sequence[Run]]


def mean_column(
    key: str,
    title: str,
    direction: Direction | None,
    format: NumberFormat,
    explanation: str,
    value: Callable[[Result], float | None] | None = None,
    optional: bool = False,
) -> TrainingColumn:
    """The mean over seeds of `value`, by default of the metric called `key`."""
    of = value or (lambda result: result.metrics.get(key))

    def read(runs: Sequence[Run]) -> Cell:
        return mean_cell([of(result) for result in completed(runs)])

    return Column(key, title, direction, format, explanation, read, optional)


@dataclass(frozen=True)
class ValidationMetric:
    """A metric of workloads as tables show it: its title, which direction is better, and what it is in words."""

    name: str
    title: str
    direction: Direction | None
    format: NumberFormat
    meaning: str


KNOWN = {
    metric.name: metric
    for metric in (
        ValidationMetric("accuracy", "accuracy %", "higher", "hundredths", "Accuracy on the validation set in percent"),
        ValidationMetric(
            "perplexity", "perplexity", "lower", "hundredths",
            "Perplexity on the validation set (the exponential of the mean loss per word)",
        ),
        ValidationMetric("r2", "R²", "higher", "significant", "R² on the validation set"),
        ValidationMetric("rmse", "RMSE", "lower", "significant", "Root mean squared error on the validation set"),
        ValidationMetric("auc", "AUC", "higher", "significant", "Area under the ROC curve on the validation set"),
        ValidationMetric("f1", "macro F1", "higher", "significant", "F1 on the validation set, averaged over classes"),
    )
}  # fmt: skip
"""The metrics that come with cmbench, in the order of their columns."""
_ANY = ValidationMetric(
    "METRIC", "METRIC", None, "significant",
    "Another metric of the workload on its validation set: R², RMSE, AUC, macro F1 or one of the user's, which says "
    "which direction is better",
)  # fmt: skip


@cache
def metric_called(name: str, direction: Direction | None) -> ValidationMetric:
    """The known metric of that name, or one of a user's, of which `direction` is better."""
    title = name.replace("_", " ")
    return KNOWN.get(name) or ValidationMetric(name, title, direction, "significant", f"{title} on the validation set")


@cache
def best(metric: ValidationMetric) -> TrainingColumn:
    """`val_NAME_best`."""
    when = {"higher": "highest", "lower": "lowest", None: "best"}[metric.direction]
    return mean_column(
        f"val_{metric.name}_best", f"best val. {metric.title}", metric.direction, metric.format,
        f"{metric.meaning}, of the epoch in which it is {when}.",
    )  # fmt: skip


@cache
def final(metric: ValidationMetric) -> TrainingColumn:
    """`val_NAME_final`."""
    return mean_column(
        f"val_{metric.name}_final", f"final val. {metric.title}", metric.direction, metric.format,
        f"{metric.meaning}, after the last epoch.",
    )  # fmt: skip


@cache
def learning(metric: ValidationMetric) -> TrainingColumn:
    """`learning_NAME`, of streams."""
    return mean_column(
        f"learning_{metric.name}", f"learning {metric.title}", metric.direction, metric.format,
        f"{metric.meaning}, of each task of a stream directly after training on it, averaged over the tasks.",
    )  # fmt: skip


@cache
def average(metric: ValidationMetric, learning: bool = False) -> TrainingColumn:
    """`val_NAME_average_final`, or `learning_NAME_average`: of the moving average of the weights."""
    when = ", of each task of a stream directly after training on it" if learning else ", after the last epoch"
    return mean_column(
        f"learning_{metric.name}_average" if learning else f"val_{metric.name}_average_final",
        f"{'learning' if learning else 'final val.'} {metric.title} of average", metric.direction, metric.format,
        f"{metric.meaning} of the moving average of the weights{when}.",
        optional=True,
    )  # fmt: skip


VAL_ACCURACY_BEST, VAL_PERPLEXITY_BEST = best(KNOWN["accuracy"]), best(KNOWN["perplexity"])
LEARNING_ACCURACY = learning(KNOWN["accuracy"])
JUDGED_BY = (*map(best, KNOWN.values()), LEARNING_ACCURACY)
"""The columns of the metrics that come with cmbench; a workload has one of them, or its own."""
EXPLAINED = (VAL_ACCURACY_BEST, VAL_PERPLEXITY_BEST, best(_ANY), LEARNING_ACCURACY, learning(_ANY))
FINALS_EXPLAINED = tuple(final(metric) for metric in (KNOWN["accuracy"], KNOWN["perplexity"], _ANY))
AVERAGES_EXPLAINED = tuple(average(metric) for metric in (KNOWN["accuracy"], KNOWN["perplexity"], _ANY))
_KEY = re.compile(r"val_(?P<best>\w+)(?<!_average)_best|learning_(?P<learning>\w+)(?<!_average)")


def final_of(column: TrainingColumn) -> TrainingColumn | None:
    """What stands for the last epoch beside a `val_NAME_best`; None beside another column."""
    match = _KEY.fullmatch(column.key)
    return final(metric_called(match["best"], column.direction)) if match and match["best"] else None


def average_of(column: TrainingColumn) -> TrainingColumn | None:
    """What stands for the moving average of the weights beside a column that runs are judged by."""
    match = _KEY.fullmatch(column.key)
    if match is None:
        return None
    return average(metric_called(match["best"] or match["learning"], column.direction), bool(match["learning"]))


def judged_by(results: Sequence[Result], otherwise: Collection[str] = ()) -> list[TrainingColumn]:
    """The columns of the metrics that `results` are judged by; where there are none yet, those called `otherwise`."""
    found: dict[str, TrainingColumn] = {}
    for result in results:
        for key in result.metrics:
            if key not in found and (column := judging_column(key, result)):
                found[key] = column
    known = [column for column in JUDGED_BY if found.pop(column.key, None)]
    return [*known, *found.values()] or [c for c in JUDGED_BY if c.key in otherwise] or [VAL_ACCURACY_BEST]


def judging_column(key: str, result: Result) -> TrainingColumn | None:
    """The column of `key`, one of the result's metrics, where it is what the run is judged by."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    metric = metric_called(match["best"] or match["learning"], result.judged_by.better if result.judged_by else None)
    return best(metric) if match["best"] else learning(metric)
