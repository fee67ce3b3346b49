"""The column of Table 3: how much sooner an optimizer is as good as another one gets."""

from __future__ import annotations

from collections.abc import Sequence

from cmbench.report.captions import plural
from cmbench.report.columns.cells import mean_cell
from cmbench.report.paper.numbers import SpeedUp
from cmbench.report.runs.by_optimizer import OptimizerRuns
from cmbench.report.runs.run import Run, completed
from cmbench.report.statistics import speed_up
from cmbench.report.table import Cell, Column


def speed_up_over(baseline: OptimizerRuns, rule: SpeedUp) -> Column[Sequence[Run]]:
    """The speed-up over the runs `baseline`, which stand in another row, by `rule`."""

    def read(runs: Sequence[Run]) -> Cell:
        mine, theirs = (
            {result.seed: result.curves.get("val_accuracy", []) for result in completed(row)}
            for row in (runs, baseline.runs)
        )
        if runs is baseline.runs:
            return Cell(1.0 if mine else None, None, len(mine))
        # Over the seeds in which both completed and these runs get there; the others are counted in the notes.
        common = sorted(mine.keys() & theirs.keys())
        ratios = [speed_up(theirs[seed], mine[seed], rule.epochs) for seed in common]
        missed = sum(ratio is None for ratio in ratios)
        notes = [f"not reached in {missed} of {plural(len(common), 'seed')}"] if missed else []
        cell = mean_cell([ratio for ratio in ratios if ratio is not None])
        if len(common) < len(mine):
            notes = [f"n={cell.n}", *notes]
        return Cell(cell.value, cell.spread, cell.n, notes=tuple(notes), missed=missed)

    return Column(
        "speed_up",
        f"speed-up over {baseline.title}",
        "higher",
        "hundredths",
        f"How many times sooner the optimizer is as good as {baseline.title} gets in its first {rule.epochs} epochs: "
        "the quotient of the epochs that both take to that validation accuracy, by seed, then averaged.",
        read,
    )


def speed_up_note(baseline: OptimizerRuns, rule: SpeedUp) -> str:
    """The definition, as it is noted below a table."""
    return (
        f"speed-up: epochs that {baseline.title} takes to its best validation accuracy of the first "
        f"{rule.epochs} epochs, over those that the row's optimizer takes to it; by seed, then averaged"
    )
