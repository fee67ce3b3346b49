"""Result files as runs would leave them, for the tests of the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmbench.experiments.measurements import SharpnessSettings
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Cost, Result
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import ResolvedSuite, load_suite
from cmbench.report.columns.sharpness import QUANTITIES
from cmbench.report.table import Cell, Column, Direction, RunCounts, Table

DATA = "0123456789abcdef"

TRAIN = """
kind: train
description: two optimizers
workload: cifar10
epochs: 4
batch_size: 64
seeds: 3
optimizers:
  adam: {lr: 1e-3}
  adam_cm: {lr: 1e-4}
  adam_cm C=20: {name: adam_cm, capacity: 20}
paper: {table: 2, column: cifar10}
"""
TOY = """
kind: toy
description: two surfaces
surfaces: {goldstein_price: [-2, 2], levy: [-10, 10]}
starts: 4
optimizers: {adam: {}, adam_cm: {}}
paper: {table: 1}
"""
ESCAPE = """
kind: escape-ratio
description: leaving the sharp minimum
domain: [-5, 5]
starts: 4
sharpness: [2, 5]
optimizers: {adam: {}, adam_cm: {}}
"""


def suite_file(folder: Path, text: str, name: str = "mine") -> ResolvedSuite:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return load_suite(str(path))


def result_of(spec: RunSpec, status: str = "completed", **fields: Any) -> Result:
    return Result(
        kind=spec.kind,
        id=spec.id,
        suite=spec.suite,
        optimizer=spec.optimizer,
        seed=spec.seed,
        settings=spec.settings_document(),
        status=status,
        created="2026-01-01T00:00:00+00:00",
        **fields,
    )


def trained(spec: RunSpec, accuracy: float, seconds: float = 1.0) -> Result:
    return result_of(
        spec,
        metrics={
            "val_accuracy_best": accuracy,
            "val_accuracy_final": accuracy - 1,
            "train_loss_final": 1 / accuracy,
            "distance": 10.0 + spec.seed,
        },
        cost=Cost(wall_seconds=seconds, steps=100, gradient_evaluations=100),
    )


def train_results(specs: Sequence[RunSpec], accuracies: Mapping[str, Sequence[float]]) -> list[Result]:
    """Completed runs of the labels in `accuracies`: one value per seed, beginning with seed 0."""
    return [
        trained(spec, accuracies[spec.optimizer.label][spec.seed])
        for spec in specs
        if spec.optimizer.label in accuracies and spec.seed < len(accuracies[spec.optimizer.label])
    ]


def sharpness_of(result: Result, value: float, **settings: Any) -> Result:
    spec = RunSpec(
        kind="sharpness",
        suite=result.suite,
        optimizer=result.optimizer,
        seed=result.seed,
        settings=SharpnessSettings(of=result.id, **settings),
    )
    return result_of(spec, metrics={QUANTITIES[spec.settings.metric].key: value})


def save(root: Path, specs: Sequence[RunSpec], results: Sequence[Result]) -> None:
    """Writes `results` through the store, each at the place of its spec."""
    store, by_key = ResultStore(root), {(spec.id, spec.optimizer.label): spec for spec in specs}
    for result in results:
        store.save(by_key[result.id, result.optimizer.label], result)


def lanes(**values: list[Any]) -> dict[str, list[Any]]:
    """What a toy run of four starts measures beside `values`."""
    return {"loss_best": [0.0] * 4, "path_length": [1.0] * 4} | values


def cell(table: Table, label: str, key: str) -> Cell:
    """The cell of a table in the row of a label, under the column with that key."""
    row = next(row for row in table.rows if row.label == label)
    return row.cells[[column.key for column in table.columns].index(key)]


def runs_of(table: Table, label: str) -> RunCounts | None:
    """The counts of runs in the row of a label."""
    return next(row.runs for row in table.rows if row.label == label)


def column_of(key: str, title: str = "", direction: Direction | None = None) -> Column[Any]:
    """A column of a table that a test fills by hand."""
    return Column(key, title or key, direction, "significant", "For a test.", lambda runs: Cell())


def key_pattern(column: Column[Any]) -> str:
    """A pattern for the keys of a column that is explained with words in capitals where suites differ."""
    return re.sub(r"(?<![A-Za-z])[A-Z]+(?![A-Za-z])", ".+", re.escape(column.key))
