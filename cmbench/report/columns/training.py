"""The columns of training runs, each read from the runs of one optimizer: a mean over its completed seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from cmbench.experiments.result import OptimizerReference, Result
from cmbench.report.columns.cells import mean_cell
from cmbench.report.columns.sharpness import top_eigenvalue
from cmbench.report.columns.speed_up import speed_up_over
from cmbench.report.comparison import FEWEST, compare
from cmbench.report.paper.numbers import SPEED_UPS
from cmbench.report.runs.by_optimizer import OptimizerRuns
from cmbench.report.runs.run import Run, completed
from cmbench.report.table import Cell, Column, Direction, NumberFormat

TrainingColumn = Column[Sequence[Run]]


def _column(
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


VAL_ACCURACY_BEST = _column(
    "val_accuracy_best", "best val. accuracy %", "higher", "hundredths",
    "Accuracy on the validation set in percent, of the epoch in which it is highest.",
)  # fmt: skip
VAL_PERPLEXITY_BEST = _column(
    "val_perplexity_best", "best val. perplexity", "lower", "hundredths",
    "Perplexity on the validation set (the exponential of the mean loss per word), of the epoch in which it is lowest.",
)  # fmt: skip
LEARNING_ACCURACY = _column(
    "learning_accuracy", "learning accuracy %", "higher", "hundredths",
    "Accuracy in percent on each task of a stream directly after training on it, averaged over the tasks.",
)  # fmt: skip
VAL_ACCURACY_FINAL = _column(
    "val_accuracy_final", "final val. accuracy %", "higher", "hundredths",
    "Accuracy on the validation set in percent, after the last epoch.",
)  # fmt: skip
VAL_PERPLEXITY_FINAL = _column(
    "val_perplexity_final", "final val. perplexity", "lower", "hundredths",
    "Perplexity on the validation set after the last epoch.",
)  # fmt: skip
VAL_ACCURACY_AVERAGE = _column(
    "val_accuracy_average_final", "final val. accuracy % of average", "higher", "hundredths",
    "Accuracy on the validation set in percent of the moving average of the weights, after the last epoch.",
    optional=True,
)  # fmt: skip
VAL_PERPLEXITY_AVERAGE = _column(
    "val_perplexity_average_final", "final val. perplexity of average", "lower", "hundredths",
    "Perplexity on the validation set of the moving average of the weights, after the last epoch.",
    optional=True,
)  # fmt: skip
LEARNING_ACCURACY_AVERAGE = _column(
    "learning_accuracy_average", "learning accuracy % of average", "higher", "hundredths",
    "Learning accuracy in percent of the moving average of the weights.",
    optional=True,
)  # fmt: skip
EPOCH_BEST = _column(
    "epoch_best", "epoch of best", None, "significant",
    "The epoch, counted from 1, in which the metric on the validation set is best: well before the last one, training "
    "went on past the best.",
    optional=True,
)  # fmt: skip


def _train_perplexity(result: Result, epoch: float | None) -> float | None:
    """The exponential of the mean training loss of an epoch, counted from 1, of a run that is judged by perplexity."""
    losses = result.curves.get("train_loss", [])
    if VAL_PERPLEXITY_BEST.key not in result.metrics or epoch is None or not 1 <= epoch <= len(losses):
        return None
    loss = losses[int(epoch) - 1]
    return None if loss is None else math.exp(min(loss, _LARGEST_EXPONENT))


_LARGEST_EXPONENT = 700
"""Beyond it a float64 has no exponential."""

TRAIN_PERPLEXITY_BEST = _column(
    "train_perplexity_best", "train perplexity at best", None, "hundredths",
    "The exponential of the mean loss over the training batches of the epoch whose validation perplexity is best; far "
    "below that, the model has learnt its training text by heart. Each batch counts with its loss before its step.",
    lambda result: _train_perplexity(result, result.metrics.get(EPOCH_BEST.key)),
    optional=True,
)  # fmt: skip
TRAIN_PERPLEXITY_FINAL = _column(
    "train_perplexity_final", "final train perplexity", None, "hundredths",
    "The exponential of the mean loss over the training batches of the last epoch.",
    lambda result: _train_perplexity(result, len(result.curves.get("train_loss", []))),
    optional=True,
)  # fmt: skip
TRAIN_LOSS = _column(
    "train_loss_final", "train loss", "lower", "significant",
    "Mean loss over the training batches of the last epoch.",
)  # fmt: skip
DISTANCE = _column(
    "distance", "distance ‖θ−θ₀‖", None, "significant",
    "Euclidean distance between the weights at the end and those at the start.",
)  # fmt: skip
WALL_SECONDS = _column(
    "wall_seconds", "seconds per run", None, "significant",
    "Wall-clock seconds that a run took, its evaluations among them.",
    lambda result: result.cost.wall_seconds if result.cost else None,
)  # fmt: skip
GRADIENTS = _column(
    "gradient_evaluations", "gradients per run", None, "integer",
    "Gradients that a run computed; SAM and MEG compute two per step.",
    lambda result: result.cost.gradient_evaluations if result.cost else None,
)  # fmt: skip

JUDGED_BY = (VAL_ACCURACY_BEST, VAL_PERPLEXITY_BEST, LEARNING_ACCURACY)
"""The metrics that runs are judged by; a workload has one of them."""
BESIDE: Mapping[str, tuple[TrainingColumn, ...]] = {
    VAL_ACCURACY_BEST.key: (EPOCH_BEST, VAL_ACCURACY_FINAL, VAL_ACCURACY_AVERAGE),
    VAL_PERPLEXITY_BEST.key: (
        EPOCH_BEST,
        TRAIN_PERPLEXITY_BEST,
        VAL_PERPLEXITY_FINAL,
        TRAIN_PERPLEXITY_FINAL,
        VAL_PERPLEXITY_AVERAGE,
    ),
    LEARNING_ACCURACY.key: (LEARNING_ACCURACY_AVERAGE,),
}
"""What stands beside a metric: when it was reached, what it is at the end, and the same in training."""


def judged_by(results: Sequence[Result], otherwise: Collection[str] = ()) -> list[TrainingColumn]:
    """The columns of the metrics that `results` are judged by; where there are none yet, those called `otherwise`."""
    found = [column for column in JUDGED_BY if any(column.key in result.metrics for result in results)]
    return found or [column for column in JUDGED_BY if column.key in otherwise] or [VAL_ACCURACY_BEST]


def difference_from(baseline: OptimizerRuns, metric: TrainingColumn) -> TrainingColumn:
    """By how much the metric of a row differs from that of the runs `baseline`, which stand in another row."""

    def read(runs: Sequence[Run]) -> Cell:
        if runs is baseline.runs:
            return Cell()
        ours, theirs = (
            {r.seed: value for r in completed(row) if (value := r.metrics.get(metric.key)) is not None}
            for row in (runs, baseline.runs)
        )
        common = sorted(ours.keys() & theirs.keys())
        if len(common) < FEWEST:
            return Cell()
        found = compare([ours[seed] for seed in common], [theirs[seed] for seed in common])
        if found.interval is None:
            return Cell(notes=(f"{found.effect:+.2f} in every seed",))
        notes = (f"n={found.n}",) if found.n < min(len(ours), len(theirs)) else ()
        return Cell(found.effect, None, found.n, found.interval, notes=notes)

    return Column(
        f"{metric.key}_vs_{baseline.optimizer.label}",
        f"vs {baseline.title}",
        None,
        "hundredths",
        f"Mean difference of the {metric.title} from that of {baseline.title}, over the seeds that both completed, "
        "with its 95 % interval (paired t-test).",
        read,
        optional=True,
    )


_ANY = OptimizerRuns("OPTIMIZER", OptimizerReference(name="", label="LABEL", hyperparameters={}), ())

COLUMNS: tuple[TrainingColumn, ...] = (
    *(column for metric in JUDGED_BY for column in (metric, difference_from(_ANY, metric))),
    *(speed_up_over(_ANY, rule) for rule in SPEED_UPS.values()),
    *dict.fromkeys(column for columns in BESIDE.values() for column in columns),
    TRAIN_LOSS,
    DISTANCE,
    top_eigenvalue({}),
    top_eigenvalue({}, "SETTING=VALUE"),
    WALL_SECONDS,
    GRADIENTS,
)
"""Every column of a table of training runs, and of a grid's."""
