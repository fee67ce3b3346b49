"""What the page tells of a row when it is asked: its numbers, how to run it again, its runs and where they ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cmbench.experiments.result import OptimizerReference, Result
from cmbench.experiments.text import canonical, value_text
from cmbench.report.page.command import command_of
from cmbench.report.page.numbers import short
from cmbench.report.runs.by_optimizer import OptimizerRuns, runs_by_optimizer
from cmbench.report.runs.groups import Group
from cmbench.report.runs.run import Run
from cmbench.report.runs.same_settings import flat_settings
from cmbench.report.table import Cell, Row, Table

_MOST_RUNS = 100
"""Runs that are listed one by one; of more, the first ones."""
_DIGITS = 7


@dataclass
class Details:
    """Collects what rows have to tell; environments that runs share are held once."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    environments: list[dict[str, str]] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def add(self, group: Group, table: Table) -> list[str]:
        """The key of every row of a table of `group`."""
        by_optimizer = {_key(row.optimizer): row for row in runs_by_optimizer(group)}
        keys = []
        for row in table.rows:
            own = _row_of(by_optimizer, row)
            keys.append(key := f"r{len(self.rows)}")
            self.rows[key] = self._of_row(group, table, row, own)
        return keys

    def _of_row(self, group: Group, table: Table, row: Row, own: OptimizerRuns | None) -> dict[str, Any]:
        runs = [run for run in (own.runs if own else group.runs) if run.result]
        results = [run.result for run in runs if run.result]
        seed = results[0].seed if results else 0
        shared = flat_settings(group.shared_settings, seed)
        return {
            "table": table.title,
            "title": row.title,
            "command": command_of(group, own.optimizer if own else None, runs) if runs else None,
            "file": group.suite.file_suite is None and group.suite.kind != "sharpness",
            "cells": [_cell(column.title, cell) for column, cell in zip(table.columns, row.cells, strict=True)],
            "hyperparameters": _texts(row.hyperparameters),
            "settings": _texts({key: value for key, value in shared.items() if key != "seed"}),
            "runs": [_run(run, result) for run, result in zip(runs, results, strict=True)][:_MOST_RUNS],
            "more": max(0, len(runs) - _MOST_RUNS),
            "environments": self._environments(results),
        }

    def _environments(self, results: Iterable[Result]) -> list[int]:
        found = []
        for result in results:
            texts = _texts(result.environment)
            place = self._places.setdefault(canonical(texts), len(self.environments))
            if place == len(self.environments):
                self.environments.append(texts)
            found.append(place)
        return sorted(set(found))


def _key(optimizer: OptimizerReference) -> str:
    return canonical([optimizer.label, optimizer.name, optimizer.hyperparameters])


def _row_of(by_optimizer: Mapping[str, OptimizerRuns], row: Row) -> OptimizerRuns | None:
    """The runs of a row; None for one that stands for a setting instead of an optimizer."""
    return by_optimizer.get(canonical([row.label, row.optimizer, dict(row.hyperparameters)]))


def _cell(title: str, cell: Cell) -> list[Any]:
    """Title, mean, deviation, count, interval, the paper's number, notes."""
    low, high = cell.interval or (None, None)
    paper = cell.paper and [cell.paper.value, cell.paper.spread]
    return [
        title, short(cell.value, _DIGITS), short(cell.spread, _DIGITS), cell.n,
        [short(low, _DIGITS), short(high, _DIGITS)] if cell.interval else None, paper, list(cell.notes),
    ]  # fmt: skip


def _run(run: Run, result: Result) -> list[Any]:
    """What tells the run from the others, what became of it, seconds, its id, its error."""
    coefficient = run.settings.get("sharpness")
    differing = [f"s={value_text(coefficient)}"] if coefficient else []
    capacity = [f"C={run.settings['capacity']}"] if result.kind == "convergence" else []
    name = ", ".join([*capacity, *differing] or [f"seed {run.seed}"])
    at = "" if result.diverged_step is None else f" @ step {result.diverged_step}"
    seconds = short(result.cost.wall_seconds, 3) if result.cost else None
    return [name, result.status + at, seconds, result.id, result.error]


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: value_text(value) for key, value in values.items() if value is not None and value != ()}
