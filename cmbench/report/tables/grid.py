"""The tables of a grid: one per optimizer with a row per setting, and the best settings as lines of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cmbench.experiments import yaml
from cmbench.experiments.grid import split_label, suite_of_grid
from cmbench.experiments.result import OptimizerReference, Result
from cmbench.experiments.suite import ResolvedSuite
from cmbench.optim.registry import REGISTRY
from cmbench.report.captions import optimizer_text, plural
from cmbench.report.columns.metrics import TrainingColumn, judged_by
from cmbench.report.columns.sharpness import flatness_columns
from cmbench.report.columns.training import TRAIN_LOSS
from cmbench.report.formats.numbers import Notation
from cmbench.report.runs.by_optimizer import OptimizerRuns, runs_by_optimizer
from cmbench.report.runs.counts import count_seeds
from cmbench.report.runs.data import data_note
from cmbench.report.runs.groups import Group
from cmbench.report.runs.run import Run, completed
from cmbench.report.table import Row, RunCounts, Table
from cmbench.report.tables.best_setting import BestSetting, best_setting, varying
from cmbench.report.tables.fill import Columns, fill, make_table, mark_best
from cmbench.report.tables.footnotes import failures, spread_note, survivors_note
from cmbench.report.tables.training import training_text


def grid_tables(group: Group, measured: Sequence[Result]) -> list[Table]:
    """A table for every optimizer, its settings in the order of the grid; below the last one, the best of each."""
    done = completed(group.runs)
    metric, *_ = judged_by(done)
    columns: Columns = [metric, TRAIN_LOSS, *flatness_columns(measured, done)]
    seeds = sorted({run.seed for run in group.runs if run.result})
    by_label: dict[str, list[OptimizerRuns]] = {}
    for row in runs_by_optimizer(group):
        by_label.setdefault(split_label(row.optimizer.label, row.optimizer.hyperparameters)[0], []).append(row)

    tables: list[Table] = []
    lines: list[str] = []
    for label, settings in by_label.items():
        tried = [row for row in settings if any(run.result for run in row.runs)]
        if not tried:
            continue
        rows = _rows(tried, columns, seeds)
        if metric.direction:
            notation = Notation.of(metric.format, [row.cells[0] for row in rows])
            lines += _lines(label, rows, best_setting(rows, 0, metric.direction), notation, group.suite.file_suite)
        rows = mark_best(rows, columns)
        notes = [*spread_note(rows, "seeds"), *failures(tried), *survivors_note(rows)]
        if len(tried) < len(settings):
            notes.insert(0, f"{len(tried)} of {plural(len(settings), 'setting')} have results")
        text = training_text(group.settings, [metric])
        table = make_table(group, _name(tried[0].optimizer), text, columns, rows, notes)
        tables.append(replace(table, caption=(), footnotes=tuple(notes)) if tables else table)
    if not tables:
        return []
    tables[0] = replace(tables[0], footnotes=(*data_note(group.suite.name, done), *tables[0].footnotes))
    heading = _heading(group.suite.name, metric, seeds)
    return [*tables[:-1], replace(tables[-1], verbatim=(*heading, *lines))]


def _name(optimizer: OptimizerReference) -> str:
    """The optimizer without its setting in the grid."""
    label, _ = split_label(optimizer.label, optimizer.hyperparameters)
    return optimizer_text(optimizer.model_copy(update={"label": label}))


def _rows(tried: Sequence[OptimizerRuns], columns: Columns, seeds: Sequence[int]) -> list[Row]:
    """A row per setting, titled by what the settings vary in."""

    def count(runs: Sequence[Run]) -> RunCounts:
        # What no setting was run with is not missing here.
        return replace(count_seeds([run for run in runs if run.seed in seeds], len(seeds)), diverged_steps=())

    titled = []
    for row in tried:
        name = _name(row.optimizer)
        titled.append(replace(row, title=row.title.removeprefix(name).strip() or name))
    # The counts of runs stand beside: hundreds of rows need no notes in their cells.
    return [
        replace(row, cells=tuple(replace(cell, notes=()) for cell in row.cells)) for row in fill(titled, columns, count)
    ]


def _heading(grid: str, metric: TrainingColumn, seeds: Sequence[int]) -> tuple[str, str]:
    return (
        f"# Best settings by the mean {metric.title} over {'seed' if len(seeds) == 1 else 'seeds'} "
        f"{', '.join(map(str, seeds))};",
        f"# to be copied below `optimizers:` of the suite {suite_of_grid(grid)}:",
    )


def _lines(
    label: str, rows: Sequence[Row], best: BestSetting | None, notation: Notation, suite: ResolvedSuite | None
) -> list[str]:
    """The best setting as an entry of a suite's `optimizers`, below a comment that says how good it is."""
    if best is None:
        return [f"  # {label}: no setting completed all of its seeds"]
    row, differing = best.row, varying(rows)
    if row.optimizer in REGISTRY:
        defaults = REGISTRY[row.optimizer].defaults
    else:  # what the suite does not give is a default
        given = next((o.hyperparameters for o in suite.optimizers if o.label == row.label), None) if suite else None
        defaults = {k: v for k, v in row.hyperparameters.items() if given is not None and k not in given}
    entry = {} if label == row.optimizer else {"name": row.optimizer}
    entry |= {
        name: value
        for name, value in row.hyperparameters.items()
        if name in differing or name not in defaults or value != defaults[name]
    }
    spread = "" if best.spread is None else f" ± {notation.text(best.spread)}"
    whose = "its grid" if len(best.edges) == 1 else "their grids"
    edges = f"; {' and '.join(best.edges)} at the edge of {whose}" if best.edges else ""
    return [f"  # {notation.text(best.value)}{spread}{edges}", f"  {yaml.entry(label, entry)}"]
