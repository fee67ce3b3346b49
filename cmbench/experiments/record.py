"""From what a runner has measured to the stored result, wherever it ran."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cmbench.experiments.environment import environment
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Cost, JudgedBy, Result, Status
from cmbench.experiments.store import ResultStore, Stored


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
class Recorder:
    """Stores what comes out of runs on `device`; a finished result is replaced by a finished one only."""

    store: ResultStore
    device: str

    def record(self, spec: RunSpec, measurement: Measurement) -> Result:
        """The result of the run, stored; one that has failed where it cannot be."""
        result = result_of(spec, measurement, self.device)
        if not self._replaces(result, spec):
            return result
        try:
            self.store.save(spec, result)
        except OSError as error:
            return _unwritten(result, self.store.path(spec), error)
        return result

    def take_over(self, spec: RunSpec, equal: Stored) -> Result:
        """The result of an equal run of another suite or label as that of `spec`, stored with its weights."""
        result = equal.result.taken_over(spec.suite, spec.optimizer)
        result = result.model_copy(update={"environment": result.environment | _asked(spec)})
        if not self._replaces(result, spec):
            return result
        try:
            self.store.take_over(spec, result, equal.path)
        except OSError as error:
            return _unwritten(result, self.store.path(spec), error)
        return result

    def _replaces(self, new: Result, spec: RunSpec) -> bool:
        if new.finished:
            return True
        old = self.store.find_whole(spec)
        return old is None or not old.finished


def _unwritten(result: Result, path: Path, error: OSError) -> Result:
    """The run is done, and yet it must be done again: nothing remembers it."""
    problem = f"{path}: its result cannot be written: {error.strerror or error}"
    return result.model_copy(update={"status": "failed", "error": problem})


def _sources(spec: RunSpec) -> dict[str, str]:
    """What stands for the data and, where it is not registered, for the code of the optimizer."""
    found = {"data": spec.data, "optimizer": spec.optimizer.source if spec.optimizer else None}
    return {name: source for name, source in found.items() if source}


def _asked(spec: RunSpec) -> dict[str, str]:
    return {"asked_seeds": spec.asked} if spec.asked else {}


def result_of(spec: RunSpec, measurement: Measurement, device: str) -> Result:
    """The whole result of `spec`, measured on `device` in this process."""
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
        environment=environment(device) | measurement.environment | _sources(spec) | _asked(spec),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
