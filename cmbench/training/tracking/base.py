"""What a tracker is: a place outside of cmbench where a run's settings, curves and end are shown."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar

from cmbench.errors import UserError
from cmbench.experiments.environment import environment
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result, Status
from cmbench.experiments.settings import TrainSettings

LOSS = "train/loss"
"""The loss while the run goes on; what an epoch adds is `epoch/NAME`, what the run ends with `result/NAME`."""


@dataclass(frozen=True)
class Tracked:
    """A run as trackers are told of it: `settings` is flat, and `resumes` says whether it goes on from a checkpoint."""

    spec: RunSpec[TrainSettings]
    settings: Mapping[str, Any]
    resumes: bool


@dataclass(frozen=True)
class Conclusion:
    """How a run has ended; `values` are its metrics and costs, of one that is finished."""

    status: Status
    error: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, result: Result) -> Conclusion:
        """What a result says of it."""
        found = {"result": result.metrics, "cost": result.cost.model_dump() if result.cost else {}}
        values = {
            f"{group}/{name}": value
            for group, numbers in (found.items() if result.finished else ())
            for name, value in numbers.items()
            if value is not None
        }
        return cls(result.status, result.error, values)


class Board:
    """One run at a tracker; this one shows nothing. One thread calls its methods, which raise whatever goes wrong."""

    def goes_on(self, step: int) -> None:
        """The run begins, or goes on, after so many steps; not called when it fails before."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each of these curves, unless it is there."""

    def end(self, step: int, conclusion: Conclusion | None) -> None:
        """The last call; without a conclusion where another process goes on with the run."""


@dataclass(frozen=True)
class Tracker(ABC):
    """Where runs are shown: `where` is what `--track NAME:WHERE` says, empty for the default."""

    where: str = ""
    name: ClassVar[str]
    accepted: ClassVar[str]
    """What WHERE may be."""

    def __str__(self) -> str:
        return f"{self.name}:{self.where}" if self.where else self.name

    @property
    @abstractmethod
    def packages(self) -> tuple[str, ...]:
        """What must be installed."""

    def check(self) -> None:
        """Raises `UserError` for a package that is missing."""
        for package in self.packages:
            if find_spec(package) is None:
                raise UserError(
                    f'--track {self} needs {package}, which is not installed: pip install "cmbench[{self.name}]"'
                )

    @abstractmethod
    def open(self, run: Tracked) -> Board:
        """The run's board, with what an earlier attempt at it has left there; raises whatever goes wrong."""


def reason(error: BaseException) -> str:
    """An error in one line: what the network or the file system has said, where that is at the bottom of it."""
    found, below = error, error.__cause__ or error.__context__
    while below:
        found, below = below if isinstance(below, OSError) else found, below.__cause__ or below.__context__
    return " ".join(str(found).split()) or type(found).__name__


def settings_of(spec: RunSpec, device: str, processes: int) -> dict[str, Any]:
    """What determines the run, under the names that suites have, and where it runs; `optimizer.lr` for what is nested.

    Values are numbers, strings, truth values or lists.
    """
    optimizer = spec.chosen_optimizer
    nested = {
        "suite": spec.suite.name,
        "optimizer": {"name": optimizer.name, "label": optimizer.label, **optimizer.hyperparameters},
        "seed": spec.seed,
        **spec.settings_document(),
        "implementation": spec.implementation,
        "environment": environment(device) | {"processes": processes},
    }
    return dict(_flat(nested))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def text_of(value: Any) -> str:
    """A setting as text: strings as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
