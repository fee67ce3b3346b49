"""The tables of a grid: one per optimizer with a row per setting, and the best settings as lines of a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cmbench.experiments import yaml
from cmbench.experiments.grid import split_label, suite_of_grid
from cmbench.experiments.result import OptimizerReference
from cmbench.optim.registry import REGISTRY
from cmbench.report.grouping import Grouping, Run
from cmbench.report.phrases import optimizer_text, plural
from cmbench.report.records import Cell, Column, Row, Table
from cmbench.report.rows import count_seeds, failures, make_row, mark_best, spread_note, survivors_note
from cmbench.report.selection import Choice, choose, varying
from cmbench.report.statistics import summarize
from cmbench.report.training_tables import judged_by, measured, sharpness_columns, training_text

Rows = Sequence[tuple[str, OptimizerReference, list[Run]]]


def is_grid(group: Grouping) -> bool:
    """Whether the runs of `group` are those of a grid, by the names of the suite and of its optimizers."""
    labels = [run.optimizer.label for run in (*group.results, *group.specs) if run.optimizer]
    return suite_of_grid(group.name) is not None and any(split_label(label)[1] for label in labels)


def grid_tables(group: Grouping, members: list[Run], differs: Mapping[str, Any]) -> list[Table]:
    """A table for every optimizer, its settings in the order of the grid; below the last one, the best of each."""
    settings = members[0].settings
    completed = [run.result for run in members if run.completed]
    metric, *_ = judged_by(completed)
    sharpness = dict(sharpness_columns(group, completed))
    columns = [
        metric,
        Column("train_loss_final", "train loss", "lower"),
        *sharpness,
    ]
    seeds = sorted({run.seed for run in members if run.result})
    by_label: dict[str, list[tuple[str, OptimizerReference, list[Run]]]] = {}
    for row in group.rows(members):
        by_label.setdefault(split_label(row[1].label)[0], []).append(row)

    tables, lines = [], []
    for label, rows_of in by_label.items():
        run = [row for row in rows_of if any(run.result for run in row[2])]
        if not run:
            continue
        rows = [_row(row, columns, sharpness, seeds) for row in run]
        choice = choose(rows, 0, metric.better)
        rows = mark_best(rows, columns)
        notes = [] if len(run) == len(rows_of) else [f"{len(run)} of {plural(len(rows_of), 'setting')} have results"]
        notes += [*spread_note(rows, "seeds"), *failures(run), *survivors_note(rows)]
        name = optimizer_text(_base(run[0][1]))
        table = group.table(name, training_text(settings, [metric]), settings, differs, columns, rows, 1, notes)
        tables.append(table if not tables else replace(table, caption=()))
        lines += _lines(label, rows, choice)
    if not tables:
        return []
    heading = (
        f"# Best settings by the mean {metric.title} over {'seed' if len(seeds) == 1 else 'seeds'} "
        f"{', '.join(map(str, seeds))};",
        f"# to be copied below `optimizers:` of the suite {suite_of_grid(group.name)}:",
    )
    return [*tables[:-1], replace(tables[-1], verbatim=(*heading, *lines))]


def _base(optimizer: OptimizerReference) -> OptimizerReference:
    return optimizer.model_copy(update={"label": split_label(optimizer.label)[0]})


def _row(
    row: tuple[str, OptimizerReference, list[Run]],
    columns: Sequence[Column],
    sharpness: Mapping[Column, Mapping[str, Any]],
    seeds: Sequence[int],
) -> Row:
    title, optimizer, runs = row
    cells = []
    for column in columns:
        summary = summarize(measured(run.result, column, sharpness) for run in runs if run.completed)
        cells.append(Cell(summary.mean, summary.std, summary.n))
    # What no setting was run with is not missing here.
    counts = replace(count_seeds([run for run in runs if run.seed in seeds], len(seeds)), diverged_steps=())
    name = optimizer_text(_base(optimizer))
    return make_row(title.removeprefix(name).strip() or name, optimizer, cells, counts)


def _lines(label: str, rows: Sequence[Row], choice: Choice | None) -> list[str]:
    """The best setting as an entry of a suite's `optimizers`, below a comment that says how good it is."""
    if choice is None:
        return [f"  # {label}: no setting completed all of its seeds"]
    best, differing = choice.row, varying(rows)
    defaults = REGISTRY[best.optimizer].defaults if best.optimizer in REGISTRY else {}
    entry = {} if label == best.optimizer else {"name": best.optimizer}
    entry |= {
        name: value
        for name, value in best.hyperparameters.items()
        if name in differing or name not in defaults or value != defaults[name]
    }
    spread = "" if choice.cell.spread is None else f" ± {choice.cell.spread:.2f}"
    whose = "its grid" if len(choice.edges) == 1 else "their grids"
    edges = f"; {' and '.join(choice.edges)} at the edge of {whose}" if choice.edges else ""
    return [f"  # {choice.cell.value:.2f}{spread}{edges}", f"  {yaml.entry(label, entry)}"]
