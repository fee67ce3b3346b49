"""The columns of training runs, each read from the runs of one optimizer: a mean over its completed seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cmbench.experiments.result import OptimizerReference, Result
from cmbench.report.columns.metrics import (
    AVERAGES_EXPLAINED,
    EXPLAINED,
    FINALS_EXPLAINED,
    VAL_PERPLEXITY_BEST,
    TrainingColumn,
    average_of,
    final_of,
    mean_column,
)
from cmbench.report.columns.sharpness import QUANTITIES, flatness
from cmbench.report.columns.speed_up import speed_up_over
from cmbench.report.columns.telemetry import COLUMNS as TELEMETRY
from cmbench.report.comparison import FEWEST, compare
from cmbench.report.formats.numbers import Notation
from cmbench.report.paper.numbers import SPEED_UPS
from cmbench.report.runs.by_optimizer import OptimizerRuns
from cmbench.report.runs.run import Run, completed
from cmbench.report.table import Cell, Column

EPOCH_BEST = mean_column(
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

TRAIN_PERPLEXITY_BEST = mean_column(
    "train_perplexity_best", "train perplexity at best", None, "hundredths",
    "The exponential of the mean loss over the training batches of the epoch whose validation perplexity is best; far "
    "below that, the model has learnt its training text by heart. Each batch counts with its loss before its step.",
    lambda result: _train_perplexity(result, result.metrics.get(EPOCH_BEST.key)),
    optional=True,
)  # fmt: skip
TRAIN_PERPLEXITY_FINAL = mean_column(
    "train_perplexity_final", "final train perplexity", None, "hundredths",
    "The exponential of the mean loss over the training batches of the last epoch.",
    lambda result: _train_perplexity(result, len(result.curves.get("train_loss", []))),
    optional=True,
)  # fmt: skip
TRAIN_LOSS = mean_column(
    "train_loss_final", "train loss", "lower", "significant",
    "Mean loss over the training batches of the last epoch.",
)  # fmt: skip
DISTANCE = mean_column(
    "distance", "distance ‖θ−θ₀‖", None, "significant",
    "Euclidean distance between the weights at the end and those at the start.",
)  # fmt: skip
WALL_SECONDS = mean_column(
    "wall_seconds", "seconds per run", None, "significant",
    "Wall-clock seconds that a run took, its evaluations among them but not its telemetry.",
    lambda result: result.cost.seconds if result.cost else None,
)  # fmt: skip
GRADIENTS = mean_column(
    "gradient_evaluations", "gradients per run", None, "integer",
    "Gradients that a run computed; SAM and MEG compute two per step.",
    lambda result: result.cost.gradient_evaluations if result.cost else None,
)  # fmt: skip


def beside(metric: TrainingColumn) -> tuple[TrainingColumn, ...]:
    """What stands beside a metric: when it was reached, at the end, in training, and of the average of the weights."""
    last, average = final_of(metric), average_of(metric)
    columns = [] if last is None else [EPOCH_BEST, last]
    if metric is VAL_PERPLEXITY_BEST:
        columns = [EPOCH_BEST, TRAIN_PERPLEXITY_BEST, *columns[1:], TRAIN_PERPLEXITY_FINAL]
    return (*columns, *([average] if average else []))


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
            exact = Notation.of(metric.format, [Cell(found.effect)]).text(found.effect, signed=True)
            return Cell(notes=(f"{exact} in every seed",))
        notes = (f"n={found.n}",) if found.n < min(len(ours), len(theirs)) else ()
        return Cell(found.effect, None, found.n, found.interval, notes=notes)

    return Column(
        f"{metric.key}_vs_{baseline.optimizer.label}",
        f"vs {baseline.title}",
        None,
        metric.format,
        f"Mean difference of the {metric.title} from that of {baseline.title}, over the seeds that both completed, "
        "with its 95 % interval (paired t-test).",
        read,
        optional=True,
    )


_ANY = OptimizerRuns("OPTIMIZER", OptimizerReference(name="", label="LABEL", hyperparameters={}), ())

COLUMNS: tuple[TrainingColumn, ...] = (
    *(column for metric in EXPLAINED for column in (metric, difference_from(_ANY, metric))),
    *(speed_up_over(_ANY, rule) for rule in SPEED_UPS.values()),
    *(EPOCH_BEST, TRAIN_PERPLEXITY_BEST, TRAIN_PERPLEXITY_FINAL, *FINALS_EXPLAINED, *AVERAGES_EXPLAINED),
    TRAIN_LOSS,
    DISTANCE,
    *(flatness(metric, {}, detail) for metric in QUANTITIES for detail in ("", "SETTING=VALUE")),
    WALL_SECONDS,
    GRADIENTS,
    *TELEMETRY,
)
"""Every column of a table of training runs, and of a grid's."""
