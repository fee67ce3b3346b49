"""Runs a plan: skips what is finished, stores what comes out, and goes on when one run fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from cmbench.errors import UserError
from cmbench.experiments.environment import environment
from cmbench.experiments.frozen import Frozen
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Cost, JudgedBy, Result, Status
from cmbench.experiments.store import ResultStore, Stored
from cmbench.optim.errors import UnfitOptimizer

Settings = TypeVar("Settings", bound=Frozen)


@dataclass(frozen=True)
class Measurement:
    """What a runner returns for one run; the rest of its result follows from the spec and the machine."""

    status: Status
    judged_by: JudgedBy | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    lanes: dict[str, list[Any]] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    cost: Cost | None = None
    error: str | None = None
    diverged_step: int | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    """What the runner knows better of where it ran."""


@dataclass(frozen=True)
class Attempt(Generic[Settings]):
    """What became of specs that were run together: one measurement for each."""

    specs: Sequence[RunSpec[Settings]]
    measurements: Sequence[Measurement]


class Engine(Protocol[Settings]):
    """Runs groups of specs in whatever order, and gives what becomes of each group as soon as it has ended."""

    def __call__(
        self, groups: Sequence[Sequence[RunSpec[Settings]]], listener: Listener, /
    ) -> Iterator[Attempt[Settings]]: ...


def in_turn(run: Callable[[Sequence[RunSpec[Settings]]], Iterable[Measurement]]) -> Engine[Settings]:
    """The groups one after the other, in this process; `run` gives a measurement for each spec of a group."""

    def engine(groups: Sequence[Sequence[RunSpec[Settings]]], listener: Listener) -> Iterator[Attempt[Settings]]:
        for members in groups:
            for spec in members:
                listener.started(spec)
            try:
                measurements = list(run(members))
            except UserError:
                raise
            except Exception as error:
                measurements = failure(members, error, listener)
            yield Attempt(members, measurements)
            if any(measurement.status == "interrupted" for measurement in measurements):
                raise KeyboardInterrupt

    return engine


def failure(members: Sequence[RunSpec], error: BaseException, listener: Listener) -> list[Measurement]:
    """What an exception makes of the runs that it ended; the listener hears its traceback, where that tells more."""
    if isinstance(error, UnfitOptimizer):
        return [Measurement("failed", error=str(error))] * len(members)
    listener.failed(members[0], "".join(traceback.format_exception(error)))
    return [Measurement("failed", error=f"{type(error).__name__}: {error}")] * len(members)


@dataclass(frozen=True)
class Progress:
    """Where a training run is: steps done of all, the latest loss that was read, the last validation metric."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float
    metric: float | None


class Listener:
    """Hears how a plan goes on; this one stays silent."""

    def skipped(self, spec: RunSpec, result: Result) -> None:
        """A finished result of `spec` was found."""

    def planned(self, todo: Sequence[RunSpec]) -> None:
        """These will be run; the others were finished."""

    def started(self, spec: RunSpec) -> None:
        """A run begins."""

    def progress(self, spec: RunSpec, now: Progress) -> None:
        """About twice a second while a training run goes on."""

    def ended(self, spec: RunSpec, result: Result, path: Path) -> None:
        """A result was written."""

    def taken_over(self, spec: RunSpec, result: Result) -> None:
        """The result of an equal run was kept for `spec` too; `result.taken_from` says which."""

    def failed(self, spec: RunSpec, details: str) -> None:
        """A run raised; `details` is the traceback. Its result is written all the same."""


@dataclass(frozen=True)
class Outcome:
    """Every result of a plan, in the plan's order, and how many of them were there before."""

    results: list[Result]
    skipped: int
    specs: Sequence[RunSpec] = ()

    @property
    def ok(self) -> bool:
        """Whether every run completed."""
        return all(result.status == "completed" for result in self.results)


def execute(
    specs: Sequence[RunSpec[Settings]],
    store: ResultStore,
    engine: Engine[Settings],
    *,
    force: bool = False,
    device: str = "cpu",
    listener: Listener | None = None,
    batch: Callable[[RunSpec[Settings]], Hashable] = lambda spec: spec.id,
) -> Outcome:
    """Runs the specs that have no finished result in `store` (all of them with `force`) and stores their results.

    Neighbouring specs with the same `batch` key are run together. A run that raises has the status `failed`, and the
    plan goes on; `UserError` and `KeyboardInterrupt` end it. A run counts as finished when its result holds all the
    curves that its telemetry asks for. A finished result is replaced by a finished one only. Of specs that differ in
    nothing but their label, one is run, and its result is kept for each; so is one that another suite has finished,
    with its weights. Raises `UserError` before anything runs where
    the results cannot be written.
    """
    listener = listener or Listener()
    results: dict[Path, Result] = {}
    todo: list[RunSpec[Settings]] = []
    twins: dict[str, list[RunSpec[Settings]]] = {}
    elsewhere: list[tuple[RunSpec[Settings], Stored]] = []
    for spec in specs:
        found = None if force else store.find(spec)
        if found and spec.is_finished_by(found):
            results[store.path(spec)] = found
            listener.skipped(spec, found)
        elif spec.id in twins:
            twins[spec.id].append(spec)
        elif not force and (equal := store.find_equal(spec)):
            elsewhere.append((spec, equal))
        else:
            todo.append(spec)
            twins[spec.id] = []
    store.check([*todo, *(spec for spec, _ in elsewhere)])
    listener.planned(todo)
    for spec, equal in elsewhere:
        results[store.path(spec)] = _take_over(spec, equal, store, listener)
    skipped = len(results)
    for attempt in engine([list(group) for _, group in groupby(todo, key=batch)], listener):
        for spec, measurement in zip(attempt.specs, attempt.measurements, strict=True):
            result = _result(spec, measurement, device)
            results[store.path(spec)] = result
            if _replaces(result, store.find(spec)):
                store.save(spec, result)
            listener.ended(spec, result, store.path(spec))
            for twin in twins[spec.id]:
                results[store.path(twin)] = _take_over(twin, Stored(store.path(spec), result), store, listener)
    return Outcome([results[store.path(spec)] for spec in specs], skipped, specs)


def _replaces(new: Result, old: Result | None) -> bool:
    return new.finished or old is None or not old.finished


def _take_over(spec: RunSpec, equal: Stored, store: ResultStore, listener: Listener) -> Result:
    result = equal.result.taken_over(spec.suite, spec.optimizer)
    if _replaces(result, store.find(spec)):
        store.take_over(spec, result, equal.path)
    listener.taken_over(spec, result)
    return result


def _sources(spec: RunSpec) -> dict[str, str]:
    """What stands for the data and, where it is not registered, for the code of the optimizer."""
    found = {"data": spec.data, "optimizer": spec.optimizer.source if spec.optimizer else None}
    return {name: source for name, source in found.items() if source}


def _result(spec: RunSpec, measurement: Measurement, device: str) -> Result:
    return Result(
        kind=spec.kind,
        id=spec.id,
        suite=spec.suite,
        optimizer=spec.optimizer,
        seed=spec.seed,
        settings=spec.settings_document(),
        status=measurement.status,
        error=measurement.error,
        diverged_step=measurement.diverged_step,
        judged_by=measurement.judged_by,
        metrics=measurement.metrics,
        lanes=measurement.lanes,
        curves=measurement.curves,
        cost=measurement.cost,
        environment=environment(device) | measurement.environment | _sources(spec),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
