"""A run as it was planned, found or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cmbench.experiments.plan import seeds_of
from cmbench.experiments.result import OptimizerReference, Result, Status


@dataclass(frozen=True)
class Run:
    """One run; `planned` says whether it should be there, `result` is what was found of it."""

    optimizer: OptimizerReference | None
    seed: int
    settings: Mapping[str, Any]
    planned: bool
    result: Result | None

    @property
    def status(self) -> Status | Literal["missing"]:
        """The status of its result, `missing` where there is none."""
        return self.result.status if self.result else "missing"


def asked_seeds(result: Result) -> frozenset[int]:
    """The seeds that the command which made the result had planned."""
    text = result.environment.get("asked_seeds")
    return seeds_of(text) if isinstance(text, str) else frozenset()


def completed(runs: Iterable[Run]) -> list[Result]:
    """The results of those that completed."""
    return [run.result for run in runs if run.result and run.result.status == "completed"]


def label_of(optimizer: OptimizerReference | None) -> str:
    """The optimizer's label, empty where a run has none."""
    return optimizer.label if optimizer else ""
