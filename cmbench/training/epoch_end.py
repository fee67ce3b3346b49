"""What is measured at the end of an epoch: one number for each of the run's curves."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

import torch

from cmbench.experiments.settings import TelemetrySettings
from cmbench.training.learner import Learner
from cmbench.training.observer import Gauge
from cmbench.training.position import Position
from cmbench.workloads.base import Task
from cmbench.workloads.metrics import Evaluation


class EpochEnd:
    """Measures `learner` on what it is trained on, and what `telemetry` and `gauges` ask for beside."""

    def __init__(
        self,
        learner: Learner,
        tasks: Sequence[Task],
        telemetry: TelemetrySettings,
        gauges: Mapping[str, Gauge],
        position: Position,
    ) -> None:
        self._learner, self._tasks, self._telemetry, self._gauges = learner, tasks, telemetry, gauges
        self._position = position
        # Since its checkpoint a buffer has counted from the beginning.
        self._accepted = math.fsum(known(position.curves.get("buffer_accepted", [])))

    def measure(
        self, epoch: int, which: int, rows: Sequence[Sequence[float]]
    ) -> tuple[Evaluation, dict[str, float | None]]:
        """The evaluation on task number `which` after `epoch` epochs, and a value for each curve.

        `rows` are the losses of the epoch's steps, with their gradients' norms where these are recorded.
        """
        task, learner = self._tasks[which], self._learner
        evaluation = learner.evaluate(task)
        values: dict[str, float | None] = {
            "epoch": epoch,
            **({"task": which + 1} if len(self._tasks) > 1 else {}),
            "train_loss": mean(row[0] for row in rows),
            "val_loss": evaluation.loss,
            f"val_{task.metric.name}": evaluation.metric,
            "lr": learner.lr,
            "distance": learner.distance(),
        }
        if learner.average:
            average = learner.evaluate_average(task)
            values["val_loss_average"] = average.loss if average else None
            values[f"val_{task.metric.name}_average"] = average.metric if average else None
        before = time.perf_counter()
        values |= self._recorded(rows)
        for name, gauge in self._gauges.items():
            # A second derivative does not go through a compiled model.
            with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"):
                due = epoch % gauge.every_epochs == 0
                values[name] = gauge.measure(learner.model.eval(), task, learner.processes) if due else None
        learner.model.train()
        self._position.telemetry_seconds += time.perf_counter() - before
        return evaluation, values

    def _recorded(self, rows: Sequence[Sequence[float]]) -> dict[str, float | None]:
        values: dict[str, float | None] = {}
        if self._telemetry.gradient_norm:
            # Steps before a checkpoint may have been made without it, and fp16 skips those that overflow.
            norms = [row[1] for row in rows if len(row) > 1 and math.isfinite(row[1])]
            values["gradient_norm"] = mean(norms) if norms else None
        if self._telemetry.buffer and (stats := self._learner.buffer_stats()):
            values |= {"buffer_variance": stats.variance, "buffer_agreement": stats.agreement}
            values["buffer_cosine_similarity"] = stats.cosine_similarity
            values["buffer_accepted"], self._accepted = stats.accepted - self._accepted, 0
        return values


def known(values: Iterable[float | None]) -> list[float]:
    """Those that are not None."""
    return [value for value in values if value is not None]


def mean(values: Iterable[float]) -> float:
    """Their exact sum divided by their number."""
    every = list(values)
    return math.fsum(every) / len(every)
