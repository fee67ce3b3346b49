"""What stored results hold about a claim: the values of every row that it names, by seed or by start."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cmbench.experiments.flatness import ways_to_measure
from cmbench.experiments.kinds import LANDSCAPES
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import OptimizerReference, Result
from cmbench.experiments.suite import load_suite
from cmbench.experiments.text import canonical, value_text
from cmbench.report.captions import optimizer_text
from cmbench.report.paper.claims.record import Claim, Measured, Of
from cmbench.report.paper.numbers import SPEED_UPS
from cmbench.report.runs.data import is_published
from cmbench.report.runs.plan import plan_of
from cmbench.report.runs.same_settings import shared_settings
from cmbench.report.statistics import speed_up

_ReadRun = Callable[[Result], float | None]
Value = float | bool
Values = Mapping[int, Value]
"""By seed, or by number of the start."""


@dataclass(frozen=True)
class RowEvidence:
    """What is known of one optimizer: its values for each measure of the claim, and what is missing of it."""

    title: str
    optimizer: OptimizerReference
    measures: tuple[Values, ...]
    missing: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it was run."""
        return not any(self.measures)


@dataclass(frozen=True)
class Evidence:
    """The rows of each group of a claim's order, under the names of its `measures`, counted in `unit`s."""

    groups: tuple[tuple[RowEvidence, ...], ...]
    measures: tuple[str, ...]
    unit: str

    @property
    def rows(self) -> list[RowEvidence]:
        """All of them."""
        return [row for group in self.groups for row in group]

    @property
    def missing(self) -> tuple[str, ...]:
        """What is missing, and of which rows: `2 of 5 seeds missing: Adam, Adam+SAM`."""
        of: dict[str, list[str]] = {}
        for row in self.rows:
            for reason in row.missing:
                of.setdefault(reason, []).append(row.title)
        return tuple(f"{reason}: {', '.join(dict.fromkeys(titles))}" for reason, titles in of.items())


def evidence_for(claim: Claim, results: Sequence[Result]) -> Evidence:
    """What `results` hold about `claim`: of several numbers of starts or seeds of them, the most.

    Only runs with the settings that the suite's file has are heard, but for the number of starts and the seed, with
    the hyperparameters that it gives its optimizers, and none on a part of a data set.
    """
    specs: list[RunSpec] = []
    own: list[Result] = []
    for name in dict.fromkeys([claim.suite, *(of.suite for group in claim.order for of in group if of.suite)]):
        suite = load_suite(name)
        here = [r for r in results if r.suite.name == name and r.kind == suite.settings.kind and is_published(r)]
        plan = plan_of(suite, here)
        own += here
        specs += [spec for spec in plan if claim.surface in (None, getattr(spec.settings, "surface", None))]
    variants: dict[str, list[Result]] = {}
    for result in own:
        variants.setdefault(_variant(result), []).append(result)
    measurements = _measurements(claim.measured, results) if claim.measured else {}
    found = [_evidence(claim, specs, chosen, measurements) for chosen in list(variants.values()) or [[]]]
    return min(found, key=lambda each: (sum(row.is_empty for row in each.rows), len(each.missing), -_size(each)))


def _variant(result: Result) -> str:
    """Equal for results that are compared with each other: the same data, the same starts."""
    starts = [result.settings.get("starts"), result.seed] if result.kind in LANDSCAPES else []
    return canonical([result.settings.get("data"), *starts])


def _evidence(
    claim: Claim, specs: Sequence[RunSpec], results: Sequence[Result], measurements: Mapping[str, Result]
) -> Evidence:
    landscape = bool(specs) and specs[0].kind in LANDSCAPES
    if results and not landscape:
        data = results[0].settings.get("data")
        specs = [spec for spec in specs if spec.data in (data, "", None)]
    by_setting: dict[str, list[Result]] = {}
    for result in results:
        by_setting.setdefault(_key(result.optimizer, result.settings, landscape), []).append(result)
    read_run = _reader(claim, specs, by_setting, measurements)

    def rows_of(group: Sequence[Of]) -> tuple[RowEvidence, ...]:
        by_label: dict[tuple[str, str], list[RunSpec]] = {}
        for of in group:
            for spec in specs:
                optimizer = spec.chosen_optimizer
                here = spec.suite.name == (of.suite or claim.suite)
                if here and of.means(optimizer.name, optimizer.hyperparameters):
                    by_label.setdefault((spec.suite.name, spec.label), []).append(spec)
        if landscape:
            return tuple(_landscape_row(claim, own, by_setting) for own in by_label.values())
        return tuple(_training_row(claim, own, by_setting, read_run) for own in by_label.values())

    measures = tuple(f"s={value_text(s)}" for s in claim.coefficients) if not claim.pooled else ()
    unit = "starts" if landscape else "seeds"
    return Evidence(tuple(rows_of(group) for group in claim.order), measures or ("",), unit)


def _training_row(
    claim: Claim, specs: Sequence[RunSpec], by_setting: Mapping[str, list[Result]], read_run: _ReadRun
) -> RowEvidence:
    """One measure; the seeds of the suite's file are wanted, others are welcome."""
    optimizer, suite = specs[0].chosen_optimizer, specs[0].suite.name
    results = {r.seed: r for r in by_setting.get(_key(optimizer, specs[0].settings_document(), False), [])}
    title = optimizer_text(optimizer) + (f" ({suite})" if claim.across_suites else "")
    values: dict[int, Value] = {}
    for seed, result in sorted(results.items()):
        if result.status == "completed" and (value := read_run(result)) is not None:
            values[seed] = value
    wanted = dict.fromkeys([*(spec.seed for spec in specs), *results])
    lacking = Counter(_status(results.get(seed), claim.metric) for seed in wanted if seed not in values)
    missing = tuple(f"{count} of {len(wanted)} seeds {status}" for status, count in lacking.items())
    return RowEvidence(title, optimizer, (values,), missing)


def _status(result: Result | None, metric: str) -> str:
    """Why a run has no value."""
    if result is None:
        return "missing"
    return f"without {metric}" if result.status == "completed" else result.status


def _landscape_row(claim: Claim, specs: Sequence[RunSpec], by_setting: Mapping[str, list[Result]]) -> RowEvidence:
    """A measure for each coefficient of the claim, or their mean, by the number of the start.

    Starts that were chosen count only where none was drawn.
    """
    optimizer, title = specs[0].chosen_optimizer, optimizer_text(specs[0].chosen_optimizer)
    measures, missing = [], []
    for spec in specs:
        coefficient = getattr(spec.settings, "sharpness", None)
        if claim.coefficients and coefficient not in claim.coefficients:
            continue
        result = next(iter(by_setting.get(_key(optimizer, spec.settings_document(), True), [])), None)
        lanes = result.lanes.get(claim.metric) if result and result.finished else None
        at = f" at s={value_text(coefficient)}" if coefficient else ""
        if lanes is None:
            missing.append(f"missing{at}")
            lanes = []
        elif lost := sum(lane is None for lane in lanes):
            missing.append(f"{lost} of {len(lanes)} starts diverged{at}")
        given = len(result.settings.get("start_points") or ()) if result and result.settings.get("starts") else 0
        measures.append({i: lane for i, lane in enumerate(lanes) if lane is not None and i >= given})
    if claim.pooled and measures:
        common = set(measures[0]).intersection(*measures[1:])
        measures = [{i: math.fsum(float(each[i]) for each in measures) / len(measures) for i in sorted(common)}]
    return RowEvidence(title, optimizer, tuple(measures), tuple(missing))


def _reader(
    claim: Claim,
    specs: Sequence[RunSpec],
    by_setting: Mapping[str, list[Result]],
    measurements: Mapping[str, Result],
) -> _ReadRun:
    """What gives the value of a training run."""
    if claim.measured:
        return lambda run: measurements[run.id].metrics.get(claim.metric) if run.id in measurements else None
    if claim.metric == "speed_up":
        reference, epochs = _reference(claim, specs, by_setting), SPEED_UPS[claim.place.number].epochs
        return lambda run: _speed_up(run, reference.get(run.seed), epochs)
    return partial(_recorded, claim)


def _measurements(measured: Measured, results: Sequence[Result]) -> dict[str, Result]:
    """The completed measurements that were made in this way, by the run that they are of."""
    suite = load_suite(measured.suite, kind="sharpness").settings
    (way,) = ways_to_measure(suite, [measured.metric], at=measured.at)
    wanted = canonical(shared_settings("sharpness", way.document()))
    return {
        result.settings["of"]: result
        for result in results
        if (result.kind, result.status) == ("sharpness", "completed")
        and canonical(shared_settings("sharpness", result.settings)) == wanted
    }


def _speed_up(result: Result, reference: Result | None, epochs: int) -> float | None:
    if reference is None:
        return None
    own, other = (r.curves.get("val_accuracy", [])[:epochs] for r in (reference, result))
    # Where it is not reached at all, one epoch more than was looked at is the least it takes.
    best = max((value for value in own if value is not None), default=None)
    return speed_up(own, [*other, best], epochs + 1)


def _recorded(claim: Claim, result: Result) -> float | None:
    name, _, how = claim.metric.partition("@")
    if not how:
        return result.metrics.get(name)
    known = [value for value in result.curves.get(name, []) if value is not None]
    if not known:
        return None
    return float(known[-1]) if how == "end" else math.fsum(known) / len(known)


def _reference(claim: Claim, specs: Sequence[RunSpec], by_setting: Mapping[str, list[Result]]) -> dict[int, Result]:
    """The completed runs that a speed-up is measured against, by seed."""
    over = SPEED_UPS[claim.place.number].over
    spec = next(spec for spec in specs if spec.chosen_optimizer.name == over)
    found = by_setting.get(_key(spec.optimizer, spec.settings_document(), False), [])
    return {result.seed: result for result in found if result.status == "completed"}


def _key(optimizer: OptimizerReference | None, settings: Mapping[str, Any], landscape: bool) -> str:
    """Equal for runs of one row, whatever their seed and number of starts."""
    who = [optimizer.name, optimizer.hyperparameters, optimizer.source] if optimizer else None
    return canonical([who, {k: v for k, v in settings.items() if not (landscape and k == "starts")}])


def _size(evidence: Evidence) -> int:
    return sum(len(values) for row in evidence.rows for values in row.measures)
