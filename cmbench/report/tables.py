"""Aggregates results into tables, suite by suite and kind by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cmbench.experiments.grid import shipped
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result
from cmbench.experiments.suite import ResolvedSuite
from cmbench.report.grid_tables import grid_tables, is_grid
from cmbench.report.grouping import KINDS, Grouping, plan_of
from cmbench.report.landscape_tables import convergence_tables, escape_ratio_tables, toy_tables
from cmbench.report.records import Table
from cmbench.report.training_tables import sharpness_tables, train_tables

_TABLES = {
    "train": train_tables,
    "sharpness": sharpness_tables,
    "toy": toy_tables,
    "escape-ratio": escape_ratio_tables,
    "convergence": convergence_tables,
}


def build_tables(
    results: Sequence[Result], *, suites: Iterable[ResolvedSuite] = (), expected: Iterable[RunSpec] | None = None
) -> list[Table]:
    """The tables that `results` fill, suite by suite in the order of their first result.

    Results with equal settings form one table, with one row per label and set of hyperparameters. Only completed runs
    enter a mean; the others are counted beside it. `suites` gives the order of rows and the place in the paper for
    suites that do not ship with cmbench, or were resolved with overrides. `expected` are the runs that should be there;
    by default those that the suites plan for the settings found. Those without a result are shown as missing.
    """
    given = {suite.name: suite for suite in suites}
    wanted = None if expected is None else list(expected)
    names = dict.fromkeys([result.suite.name for result in results] + [spec.suite.name for spec in wanted or ()])
    measured = [result for result in results if result.kind == "sharpness"]
    trained = {result.id for result in results if result.kind == "train"}
    tables = []
    for name in names:
        own = [result for result in results if result.suite.name == name]
        suite = given.get(name) or _builtin(name, own)
        specs = None if wanted is None else [spec for spec in wanted if spec.suite.name == name]
        kinds = dict.fromkeys([result.kind for result in own] + [spec.kind for spec in specs or ()])
        for kind in sorted(kinds, key=list(KINDS).index):
            chosen = [result for result in own if result.kind == kind]
            if kind == "sharpness":
                chosen = [result for result in chosen if result.settings.get("of") not in trained]
            group = Grouping(name, kind, chosen, suite, specs, measured)
            fill = grid_tables if kind == "train" and is_grid(group) else _TABLES[kind]
            for members, differs in group.groups():
                tables += fill(group, members, differs)
    return tables


def _builtin(name: str, results: Sequence[Result]) -> ResolvedSuite | None:
    """The suite (or grid) of that name that ships with cmbench, unless the results are of another one so named."""
    suite = shipped(name)
    if suite is None:
        return None
    planned = {spec.id for spec in plan_of(suite, [r for r in results if r.kind == suite.settings.kind])}
    same = [r for r in results if r.suite.sha256 == suite.sha256 or r.id in planned or r.settings.get("of") in planned]
    return suite if same or not results else None
