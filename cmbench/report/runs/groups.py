"""Which runs of a suite belong to one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmbench.report.runs.plan import SuiteRuns
from cmbench.report.runs.run import Run, label_of
from cmbench.report.runs.same_settings import differences, flat_settings, shared_settings, table_key
from cmbench.report.table import Difference


@dataclass(frozen=True)
class Group:
    """The runs of one table, which differ in what the runs of a table may differ in, and what sets the table apart."""

    suite: SuiteRuns
    runs: tuple[Run, ...]
    differs: tuple[Difference, ...]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of its first run."""
        return self.runs[0].settings

    @property
    def shared_settings(self) -> Mapping[str, Any]:
        """The settings in which all of its runs agree."""
        return shared_settings(self.suite.kind, self.settings)


def groups_of(suite: SuiteRuns) -> list[Group]:
    """The runs of each table: those that are expected, found or not, and those that were found besides."""
    found = {(result.id, label_of(result.optimizer)): result for result in suite.results}
    runs = []
    for spec in suite.expected:
        result = found.pop((spec.id, label_of(spec.optimizer)), None)
        runs.append(Run(spec.optimizer, spec.seed, spec.settings_document(), True, result))
    runs += [Run(r.optimizer, r.seed, r.settings, not suite.has_plan, r) for r in found.values()]
    tables: dict[str, list[Run]] = {}
    for run in runs:
        tables.setdefault(table_key(suite.kind, run.settings, run.seed), []).append(run)
    flat = [flat_settings(members[0].settings, members[0].seed) for members in tables.values()]
    return [
        Group(suite, tuple(members), differences(suite.kind, own, flat, suite.file_plan))
        for members, own in zip(tables.values(), flat, strict=True)
    ]
