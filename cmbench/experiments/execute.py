"""Runs a plan: skips what is finished, stores what comes out, and goes on when one run fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

from cmbench.errors import Unreadable, UserError
from cmbench.experiments.frozen import Frozen
from cmbench.experiments.listener import Listener
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.record import Measurement, Recorder
from cmbench.experiments.result import Result
from cmbench.experiments.store import ResultStore, Stored
from cmbench.experiments.text import printable
from cmbench.optim.errors import UnfitOptimizer

Settings = TypeVar("Settings", bound=Frozen)


@dataclass(frozen=True)
class Attempt(Generic[Settings]):
    """What became of a run that was tried: its stored result; None where another process is at it.

    `how` says whether it `ran`, was `found` finished by then, or was `interrupted` together with the whole plan.
    """

    spec: RunSpec[Settings]
    result: Result | None
    how: Literal["ran", "found", "interrupted"] = "ran"
    traceback: str = ""


Record = Callable[[RunSpec, Measurement], Result]


class Engine(Protocol[Settings]):
    """Runs groups of specs in whatever order, and gives what becomes of each run as soon as it has ended.

    `record` makes and stores the result of a measurement that was made in this process.
    """

    def __call__(
        self, groups: Sequence[Sequence[RunSpec[Settings]]], listener: Listener, record: Record, /
    ) -> Iterator[Attempt[Settings]]: ...


def in_turn(run: Callable[[Sequence[RunSpec[Settings]]], Iterable[Measurement]]) -> Engine[Settings]:
    """The groups one after the other, in this process; `run` gives a measurement for each spec of a group."""

    def engine(
        groups: Sequence[Sequence[RunSpec[Settings]]], listener: Listener, record: Record
    ) -> Iterator[Attempt[Settings]]:
        for members in groups:
            for spec in members:
                listener.started(spec)
            trace = ""
            try:
                measurements = list(run(members))
            except UserError:
                raise
            except Exception as error:
                failed, trace = failure(error)
                measurements = [failed] * len(members)
            for spec, measurement in zip(members, measurements, strict=True):
                yield Attempt(spec, record(spec, measurement), traceback=trace)
                trace = ""

    return engine


def failure(error: BaseException) -> tuple[Measurement, str]:
    """What an exception makes of the run that it ended, and its traceback, where that tells more."""
    if isinstance(error, UnfitOptimizer):
        return Measurement("failed", error=printable(str(error))), ""
    text = "".join(traceback.format_exception(error))
    return Measurement("failed", error=printable(f"{type(error).__name__}: {error}")), text


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


class Interrupted(KeyboardInterrupt):
    """A plan was stopped; `outcome` is what there is of it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


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
    plan goes on; `UserError` ends it, and an interrupt, which raises `Interrupted`. A run counts as finished when its
    result holds all the curves that its telemetry asks for. A finished result is replaced by a finished one only. Of
    specs that differ in nothing but their label, one is run, and its result is kept for each; so is one that another
    suite has finished, with its weights. A file that holds no result where one should be is set aside. Raises
    `UserError` before anything runs where the results cannot be written.
    """
    listener, recorder = listener or Listener(), Recorder(store, device)
    plan = _sorted(specs, store, force, listener)
    results = plan.results
    store.check([*plan.todo, *(spec for spec, _ in plan.elsewhere)])
    listener.planned(plan.todo)
    skipped = len(results) + len(plan.elsewhere)
    try:
        for spec, equal in plan.elsewhere:
            results[store.path(spec)] = result = recorder.take_over(spec, equal)
            listener.taken_over(spec, result)
        for attempt in engine([list(group) for _, group in groupby(plan.todo, key=batch)], listener, recorder.record):
            spec, ended = attempt.spec, attempt.result
            if ended is None:
                raise ValueError(f"{spec.title}: the engine has left it to another process")
            results[store.path(spec)] = ended
            if attempt.traceback:
                listener.failed(spec, attempt.traceback)
            if attempt.how == "found":
                listener.found(spec, ended)
                skipped += 1
            else:
                listener.ended(spec, ended)
            for twin in plan.twins[spec.id]:
                results[store.path(twin)] = result = recorder.take_over(twin, Stored(store.path(spec), ended))
                listener.taken_over(twin, result)
    except KeyboardInterrupt:
        so_far = [results[path] for spec in specs if (path := store.path(spec)) in results]
        raise Interrupted(Outcome(so_far, skipped, specs)) from None
    return Outcome([results[store.path(spec)] for spec in specs], skipped, specs)


@dataclass(frozen=True)
class _Plan(Generic[Settings]):
    """What is `todo` of a plan, the twins of each by its id, what another suite has finished, and what is finished."""

    results: dict[Path, Result] = field(default_factory=dict)
    todo: list[RunSpec[Settings]] = field(default_factory=list)
    twins: dict[str, list[RunSpec[Settings]]] = field(default_factory=dict)
    elsewhere: list[tuple[RunSpec[Settings], Stored]] = field(default_factory=list)


def _sorted(specs: Sequence[RunSpec[Settings]], store: ResultStore, force: bool, listener: Listener) -> _Plan[Settings]:
    plan = _Plan[Settings]()
    for spec in specs:
        found = None if force else _found(spec, store, listener)
        if found and spec.is_finished_by(found):
            plan.results[store.path(spec)] = found
            listener.skipped(spec, found)
        elif spec.id in plan.twins:
            plan.twins[spec.id].append(spec)
        elif not force and (equal := store.find_equal(spec)):
            plan.elsewhere.append((spec, equal))
        else:
            plan.todo.append(spec)
            plan.twins[spec.id] = []
    return plan


def _found(spec: RunSpec, store: ResultStore, listener: Listener) -> Result | None:
    """The stored result of `spec`; what is there and is none goes out of the way of a new one."""
    try:
        return store.find(spec)
    except Unreadable as error:
        listener.remark(spec, f"{error}; set aside as {store.set_aside(spec).name}, and run again")
        return None
