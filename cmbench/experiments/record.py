"""From what a runner has measured to the stored result, wherever it ran."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
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
        """The result of the run, stored."""
        result = result_of(spec, measurement, self.device)
        if _replaces(result, self.store.find(spec)):
            self.store.save(spec, result)
        return result

    def take_over(self, spec: RunSpec, equal: Stored) -> Result:
        """The result of an equal run of another suite or label as that of `spec`, stored with its weights."""
        result = equal.result.taken_over(spec.suite, spec.optimizer)
        if _replaces(result, self.store.find(spec)):
            self.store.take_over(spec, result, equal.path)
        return result


def _replaces(new: Result, old: Result | None) -> bool:
    return new.finished or old is None or not old.finished


def _sources(spec: RunSpec) -> dict[str, str]:
    """What stands for the data and, where it is not registered, for the code of the optimizer."""
    found = {"data": spec.data, "optimizer": spec.optimizer.source if spec.optimizer else None}
    return {name: source for name, source in found.items() if source}


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
        environment=environment(device) | measurement.environment | _sources(spec),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
