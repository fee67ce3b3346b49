"""What a suite plans, beside what was found of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from cmbench.experiments.entries import OptimizerSpec
from cmbench.experiments.grid import shipped, split_label, suite_of_grid
from cmbench.experiments.kinds import Kind
from cmbench.experiments.plan import RunSpec, plan_convergence, plan_landscapes, plan_training
from cmbench.experiments.result import Result
from cmbench.experiments.settings import ConvergenceSuite, EscapeSuite, ToySuite, TrainSuite
from cmbench.experiments.suite import ResolvedSuite
from cmbench.experiments.text import canonical
from cmbench.report.paper.lookup import PaperPlace
from cmbench.report.runs.same_settings import MAY_DIFFER, table_key
from cmbench.workloads.registry import unusual_options


@dataclass(frozen=True)
class SuiteRuns:
    """What is known of the runs of one kind in one suite.

    `suite` is None where it is not known; `file_suite` is the suite as it stands in its file, which is what a reader
    takes its name to mean, and `file_plan` its runs. `expected` are the runs that should be there; `has_plan` says
    whether anything tells which those are.
    """

    name: str
    kind: Kind
    results: Sequence[Result]
    suite: ResolvedSuite | None
    file_suite: ResolvedSuite | None
    file_plan: Sequence[RunSpec]
    expected: Sequence[RunSpec]
    has_plan: bool

    @property
    def paper(self) -> PaperPlace | None:
        """The suite's place in the paper, if it has one."""
        place = self.file_suite.settings.paper if self.file_suite else None
        optimizers = tuple(spec.optimizer for spec in self.file_plan if spec.optimizer)
        return PaperPlace(place, optimizers) if place else None

    @property
    def is_grid(self) -> bool:
        """Whether the runs are those of a grid, by the names of the suite and of its optimizers."""
        optimizers = [run.optimizer for run in self.results] + [spec.optimizer for spec in self.expected]
        return suite_of_grid(self.name) is not None and any(
            optimizer and split_label(optimizer.label, optimizer.hyperparameters)[1] for optimizer in optimizers
        )


def suite_runs(
    name: str,
    kind: Kind,
    results: Sequence[Result],
    suite: ResolvedSuite | None,
    expected: Sequence[RunSpec] | None = None,
) -> SuiteRuns:
    """The runs of `kind` of the suite called `name`; by default what it plans for the settings found is expected."""
    suite = suite if suite and suite.settings.kind == kind else None
    own = shipped(name) if suite else None
    file_suite = own if own and suite and own.sha256 == suite.sha256 else suite
    file_plan = plan_of(file_suite, results) if file_suite else []
    if expected is None:
        planned = _planned(kind, suite, results) if suite else []
        return SuiteRuns(name, kind, results, suite, file_suite, file_plan, planned, bool(planned))
    planned = [spec for spec in expected if spec.kind == kind]
    return SuiteRuns(name, kind, results, suite, file_suite, file_plan, planned, has_plan=True)


def _planned(kind: Kind, suite: ResolvedSuite, results: Sequence[Result]) -> list[RunSpec]:
    """What the suite plans, where at least one result has its settings."""
    plan = plan_of(suite, results)
    found = {table_key(kind, result.settings, result.seed) for result in results}
    matched = [spec for spec in plan if table_key(kind, spec.settings_document(), spec.seed) in found]
    # The surfaces of one suite belong together: where one was run, the others are missing.
    return plan if matched and not MAY_DIFFER[kind].seeds else matched


def plan_of(suite: ResolvedSuite, results: Sequence[Result]) -> list[RunSpec]:
    """What `suite` plans for what it leaves open and is found in `results`.

    That is the data, the domains of the surfaces where it names none, and the hyperparameters of optimizers that are
    not registered.
    """
    suite, settings = _filled(suite, results), suite.settings
    if isinstance(settings, TrainSuite):
        options = unusual_options(settings.workload, settings.options, f"{suite.name}.yaml: workload")
        filled = settings.model_copy(update={"options": options})
        training = cast("ResolvedSuite[TrainSuite]", replace(suite, settings=filled))
        prints = dict.fromkeys(result.settings.get("data") or "" for result in results) or {"": None}
        return [spec for data in prints for spec in plan_training(training, data=data)]
    if isinstance(settings, (ToySuite, EscapeSuite)):
        found = {result.settings["surface"]: result.settings for result in reversed(results)}
        domains = {
            surface: domain or found.get(surface, {}).get("domain") for surface, domain in settings.domains.items()
        }
        sources = {surface: found[surface]["data"] for surface in found if found[surface].get("data")}
        surfaces = settings.model_copy(update={"surface": None, "surfaces": domains})
        landscapes = cast("ResolvedSuite[ToySuite | EscapeSuite]", replace(suite, settings=surfaces))
        return [*plan_landscapes(landscapes, sources)]
    if isinstance(settings, ConvergenceSuite):
        return [*plan_convergence(cast("ResolvedSuite[ConvergenceSuite]", suite))]
    return []


def _filled(suite: ResolvedSuite, results: Sequence[Result]) -> ResolvedSuite:
    """The suite with what results, the newest, say of the optimizers that only an import could tell more of."""
    newest = sorted(results, key=lambda result: result.created, reverse=True)
    found = [result.optimizer for result in newest if result.optimizer]

    def filled(spec: OptimizerSpec) -> OptimizerSpec:
        for run in found if spec.open else ():
            if (run.label, run.name) == (spec.label, spec.name) and _holds(run.hyperparameters, spec.hyperparameters):
                return replace(spec, hyperparameters=run.hyperparameters, source=run.source, open=False)
        return spec

    return replace(suite, optimizers=tuple(map(filled, suite.optimizers)))


def _holds(found: Any, given: Any) -> bool:
    """Whether `found` says all that `given` says, and perhaps more."""
    if isinstance(given, dict) and isinstance(found, dict):
        return all(name in found and _holds(found[name], value) for name, value in given.items())
    return canonical(found) == canonical(given)


def shipped_suite_of(name: str, results: Sequence[Result]) -> ResolvedSuite | None:
    """The suite (or grid) of that name that ships with cmbench, unless the results are of another one so named."""
    suite = shipped(name)
    if suite is None:
        return None
    planned = {spec.id for spec in plan_of(suite, [r for r in results if r.kind == suite.settings.kind])}
    same = [r for r in results if r.suite.sha256 == suite.sha256 or r.id in planned or r.settings.get("of") in planned]
    return suite if same or not results else None
