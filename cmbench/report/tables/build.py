"""Aggregates results into tables, suite by suite and kind by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cmbench.experiments.kinds import Kind
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result
from cmbench.experiments.suite import ResolvedSuite
from cmbench.report.runs.every_group import every_group
from cmbench.report.runs.groups import Group
from cmbench.report.table import Table
from cmbench.report.tables.convergence import convergence_tables
from cmbench.report.tables.escape import escape_ratio_tables
from cmbench.report.tables.grid import grid_tables
from cmbench.report.tables.sharpness import sharpness_tables
from cmbench.report.tables.toy import toy_tables
from cmbench.report.tables.training import training_tables

_TABLES: Mapping[Kind, Callable[[Group], list[Table]]] = {
    "sharpness": sharpness_tables,
    "toy": toy_tables,
    "escape-ratio": escape_ratio_tables,
    "convergence": convergence_tables,
}
"""The tables of every kind of run but training, whose tables show measurements of other runs as well."""


@dataclass(frozen=True)
class GroupTables:
    """The runs with one set of settings, and the tables that they fill."""

    group: Group
    tables: tuple[Table, ...]


def tables(
    results: Sequence[Result], *, suites: Iterable[ResolvedSuite] = (), expected: Iterable[RunSpec] | None = None
) -> list[Table]:
    """The tables that `results` fill, suite by suite in the order of their first result.

    Results with equal settings form one table, with one row per label and set of hyperparameters. Only completed runs
    enter a mean; the others are counted beside it. `suites` gives the order of rows and the place in the paper for
    suites that do not ship with cmbench, or were resolved with overrides; those of `load_results` are known already.
    `expected` are the runs that should be there; by default those that the suites plan for the settings found. Those
    without a result are shown as missing.
    """
    return [table for each in grouped_tables(results, suites=suites, expected=expected) for table in each.tables]


def grouped_tables(
    results: Sequence[Result], *, suites: Iterable[ResolvedSuite] = (), expected: Iterable[RunSpec] | None = None
) -> list[GroupTables]:
    """`tables`, each with the runs that it is made of."""
    measured = [result for result in results if result.kind == "sharpness"]
    groups = every_group(results, suites, expected)
    return [GroupTables(group, tuple(_tables_of(group, measured))) for group in groups]


def _tables_of(group: Group, measured: Sequence[Result]) -> list[Table]:
    if group.suite.kind == "train":
        return (grid_tables if group.suite.is_grid else training_tables)(group, measured)
    return _TABLES[group.suite.kind](group)
