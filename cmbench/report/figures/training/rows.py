"""Which optimizers of a suite a figure of training shows, and what its caption says about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmbench.experiments.grid import split_label
from cmbench.experiments.result import Result
from cmbench.experiments.text import value_text
from cmbench.report.columns.metrics import judged_by
from cmbench.report.figures.drawing import Style, styles_of
from cmbench.report.figures.training.axis import steps_per_epoch
from cmbench.report.figures.training.series import drawn
from cmbench.report.runs.by_optimizer import OptimizerRuns, runs_by_optimizer
from cmbench.report.runs.groups import Group
from cmbench.report.runs.run import completed
from cmbench.report.statistics import summarize
from cmbench.report.tables.training import training_text


@dataclass(frozen=True)
class TrainingRuns:
    """The runs of one set of settings as figures show them: a row per optimizer, and the steps of an epoch."""

    group: Group
    rows: tuple[OptimizerRuns, ...]
    epoch_steps: float | None

    @classmethod
    def of(cls, group: Group) -> TrainingRuns:
        """The rows that have a run to be drawn; of a grid, the best setting of each optimizer."""
        rows = [row for row in runs_by_optimizer(group) if drawn(row)]
        epoch_steps = steps_per_epoch(run.result for run in group.runs if run.result)
        return cls(group, tuple(_best_settings(rows) if group.suite.is_grid else rows), epoch_steps)

    @property
    def results(self) -> list[Result]:
        """The results of all rows."""
        return [result for row in self.rows for result in drawn(row)]

    def styles(self) -> dict[str, Style]:
        """A style for the title of each row."""
        return styles_of([row.optimizer.model_copy(update={"label": row.title}) for row in self.rows])

    def text(self) -> str:
        """For a caption: suite, description, settings and how they differ from the suite's, seeds, what is missing."""
        suite = self.group.suite
        described = f": {suite.suite.settings.description}" if suite.suite else ""
        which = " Of each optimizer the best setting of the grid." if suite.is_grid else ""
        settings = training_text(self.group.settings, judged_by(self.results))
        settings = f"{settings[0].upper()}{settings[1:]}"
        return f"Suite {suite.name}{described}. {settings}{self._differences()}.{which} {self.seeds()}."

    def _differences(self) -> str:
        parts = [
            f"{each.key} {value_text(each.value)}" + (f" (suite: {value_text(each.suite)})" if each.from_suite else "")
            for each in self.group.differs
        ]
        return f"; not the suite's settings: {', '.join(parts)}" if parts else ""

    def seeds(self) -> str:
        """`Seeds: 5`, `Seeds: 3 to 5; diverged: Adam 1`."""
        counts = [len(drawn(row)) for row in self.rows]
        number = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"
        lost = {
            status: [(row.title, sum(run.status == status for run in row.runs)) for row in self.rows]
            for status in ("diverged", "failed", "interrupted")
        }
        parts = [
            f"{status}: {', '.join(f'{title} {count}' for title, count in found if count)}"
            for status, found in lost.items()
            if any(count for _, count in found)
        ]
        return "; ".join([f"Seeds: {number}", *parts])


def _best_settings(rows: Sequence[OptimizerRuns]) -> list[OptimizerRuns]:
    """Of each optimizer of a grid the setting with the best mean among those with most completed seeds."""
    metric, *_ = judged_by([result for row in rows for result in completed(row.runs)])
    sign = -1.0 if metric.direction == "lower" else 1.0

    def rank(row: OptimizerRuns) -> tuple[int, float]:
        mean = summarize([result.metrics.get(metric.key) for result in completed(row.runs)]).mean
        return len(completed(row.runs)), -np.inf if mean is None else sign * mean

    by_label: dict[str, list[OptimizerRuns]] = {}
    for row in rows:
        by_label.setdefault(split_label(row.optimizer.label, row.optimizer.hyperparameters)[0], []).append(row)
    return [max(settings, key=rank) for settings in by_label.values()]
