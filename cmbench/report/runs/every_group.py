"""All results by the tables that they belong to: suite by suite, kind by kind, settings by settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result
from cmbench.experiments.suite import ResolvedSuite
from cmbench.report.results import Results
from cmbench.report.runs.groups import Group, groups_of
from cmbench.report.runs.plan import shipped_suite_of, suite_runs
from cmbench.report.runs.same_settings import MAY_DIFFER


def every_group(
    results: Sequence[Result], suites: Iterable[ResolvedSuite] = (), expected: Iterable[RunSpec] | None = None
) -> Iterator[Group]:
    """The groups of `results`, suites in the order of their first result.

    `suites` and `expected` are those of `tables`. Measurements of sharpness whose training runs are among the results
    are no group of their own.
    """
    loaded = results.suites if isinstance(results, Results) else ()
    given = {suite.name: suite for suite in (*loaded, *suites)}
    wanted = None if expected is None else list(expected)
    by_suite: dict[str, list[Result]] = {}
    for result in results:
        by_suite.setdefault(result.suite.name, []).append(result)
    names = dict.fromkeys([*by_suite, *(spec.suite.name for spec in wanted or ())])
    trained = {result.id for result in results if result.kind == "train"}
    for name in names:
        own = by_suite.get(name, [])
        suite = given.get(name) or shipped_suite_of(name, own)
        specs = None if wanted is None else [spec for spec in wanted if spec.suite.name == name]
        kinds = dict.fromkeys([result.kind for result in own] + [spec.kind for spec in specs or ()])
        for kind in sorted(kinds, key=list(MAY_DIFFER).index):
            chosen = [result for result in own if result.kind == kind]
            if kind == "sharpness":
                chosen = [result for result in chosen if result.settings.get("of") not in trained]
            yield from groups_of(suite_runs(name, kind, chosen, suite, specs))
