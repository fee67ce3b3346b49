"""From a suite to the list of its runs, each with an identity made of what determines its outcome, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from typing import Any, Generic

from pydantic import SerializeAsAny
from typing_extensions import TypeVar

from cmbench.experiments.frozen import Frozen
from cmbench.experiments.kinds import Kind
from cmbench.experiments.result import OptimizerReference, Result, SuiteReference
from cmbench.experiments.settings import (
    MOST_SEEDS,
    CheckpointSettings,
    ConvergenceSettings,
    ConvergenceSuite,
    EscapeSettings,
    EscapeSuite,
    LandscapeSettings,
    LandscapeSuite,
    Suite,
    TelemetrySettings,
    ToySettings,
    TrainSettings,
    TrainSuite,
)
from cmbench.experiments.suite import ResolvedSuite
from cmbench.optim.hyperparameters import ImplementationName
from cmbench.plugins.resolve import identity_of

Settings = TypeVar("Settings", bound=Frozen, covariant=True, default=Frozen)
Narrow = TypeVar("Narrow", bound=Frozen)


class RunSpec(Frozen, Generic[Settings]):
    """Everything that determines a run's outcome; suite, checkpoint, telemetry and implementation do not.

    The settings are those of its kind: a training run is a `RunSpec[TrainSettings]`.
    """

    kind: Kind
    suite: SuiteReference
    optimizer: OptimizerReference | None
    seed: int
    settings: SerializeAsAny[Settings]
    data: str | None = None
    """Identity of the workload or surface: the fingerprint of its data or file, and the version of its code."""
    checkpoint: CheckpointSettings | None = None
    telemetry: TelemetrySettings | None = None
    implementation: ImplementationName = "auto"
    asked: str | None = None
    """The seeds that it was planned with, as `seeds_text` writes them."""

    @property
    def chosen_optimizer(self) -> OptimizerReference:
        """The optimizer of a kind of run that has one; raises `ValueError` for the others."""
        if self.optimizer is None:
            raise ValueError(f"{self.title}: a '{self.kind}' run has no optimizer")
        return self.optimizer

    @property
    def label(self) -> str:
        """The optimizer's label, or the kind of a run that has none."""
        return self.optimizer.label if self.optimizer else self.kind

    @cached_property
    def id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of what determines the outcome."""
        identity = self.model_dump(mode="json", exclude={"suite", "checkpoint", "telemetry", "implementation", "asked"})
        identity["settings"] = self.settings.document()
        for name in ("workload", "surface"):
            if name in identity["settings"]:
                identity["settings"][name] = identity_of(identity["settings"][name])
        if self.optimizer:
            del identity["optimizer"]["label"]
            if self.optimizer.source is None:
                del identity["optimizer"]["source"]
            identity["optimizer"]["name"] = identity_of(self.optimizer.name)
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def is_finished_by(self, result: Result) -> bool:
        """Whether `result` of this run is final, and holds its starts and the curves that its telemetry asks for."""
        if not result.finished:
            return False
        if isinstance(self.settings, LandscapeSettings):
            starts = {len(lanes) for lanes in result.lanes.values()}
            return starts == {self.settings.count} and "loss_median" in result.curves
        if self.telemetry is None or result.status != "completed":
            return True
        recorded = TelemetrySettings.of_environment(result.environment)
        return recorded.covers(self.telemetry, len(result.curves.get("epoch", [])))

    @property
    def title(self) -> str:
        """What a person calls this run: `digits adam_cm seed 3`, `escape_10d adam_cm sharp_flat s=5 seed 0`,
        `convergence C=5, β=0.9`.
        """
        if isinstance(self.settings, ConvergenceSettings):
            return f"{self.suite.name} {self.settings.title}"
        label = f" {self.optimizer.label}" if self.optimizer else ""
        surface, coefficient = (getattr(self.settings, name, None) for name in ("surface", "sharpness"))
        cell = (f" {surface}" if surface else "") + (f" s={coefficient:g}" if coefficient else "")
        return f"{self.suite.name}{label}{cell} seed {self.seed}"

    def settings_document(self) -> dict[str, Any]:
        """The settings as they stand in the result's JSON."""
        return self.settings.document() | ({"data": self.data} if self.data else {})


def narrow(settings: Frozen, target: type[Narrow], **overrides: Any) -> Narrow:
    """The fields of `target` out of a suite that has them all, with single values in place of the suite's lists."""
    return target(**{name: overrides.get(name, getattr(settings, name, None)) for name in target.model_fields})


def _references(suite: ResolvedSuite[Suite]) -> tuple[SuiteReference, list[OptimizerReference]]:
    return SuiteReference(name=suite.name, sha256=suite.sha256), [
        OptimizerReference(name=o.name, label=o.label, hyperparameters=o.hyperparameters, source=o.source)
        for o in suite.optimizers
    ]


def seeds_text(seeds: Iterable[int]) -> str:
    """`0-4,7`: seeds in a line."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


@cache
def seeds_of(text: str) -> frozenset[int]:
    """The seeds that `seeds_text` has written; none for anything else, and for more than a command may ask for."""
    if not re.fullmatch(r"\d{1,19}(-\d{1,19})?(,\d{1,19}(-\d{1,19})?)*", text):
        return frozenset()
    bounds = [tuple(map(int, part.split("-"))) for part in text.split(",")]
    if sum(each[-1] - each[0] + 1 for each in bounds if each[0] <= each[-1]) > MOST_SEEDS:
        return frozenset()
    return frozenset(seed for each in bounds for seed in range(each[0], each[-1] + 1))


def plan_training(
    suite: ResolvedSuite[TrainSuite], data: str, seeds: Iterable[int] | None = None
) -> list[RunSpec[TrainSettings]]:
    """One run per optimizer and seed, seed by seed, so that an interrupted plan leaves complete comparisons.

    `data` is the workload's identity; `seeds` replaces the suite's own.
    """
    reference, optimizers = _references(suite)
    settings = narrow(suite.settings, TrainSettings)
    first = suite.first_seed
    wanted = list(range(first, first + suite.settings.seeds) if seeds is None else seeds)
    asked = seeds_text(wanted)
    return [
        RunSpec(
            kind="train",
            suite=reference,
            optimizer=optimizer,
            seed=seed,
            settings=settings,
            data=data,
            checkpoint=suite.settings.checkpoint,
            telemetry=suite.settings.telemetry,
            implementation=suite.settings.implementation,
            asked=asked,
        )
        for seed in wanted
        for optimizer in optimizers
    ]


def plan_landscapes(
    suite: ResolvedSuite[LandscapeSuite], identities: Mapping[str, str] | None = None
) -> list[RunSpec[LandscapeSettings]]:
    """One run (a cell of many lanes) per surface, optimizer and sharpness coefficient of a toy or escape-ratio suite.

    The coefficients come last, so that neighbours may share one tensor. Lanes are independent: the scope of every
    norm and decision is `lane`. `identities` holds the surfaces' identities.
    """
    reference, optimizers = _references(suite)
    target: type[LandscapeSettings] = EscapeSettings if isinstance(suite.settings, EscapeSuite) else ToySettings
    return [
        RunSpec(
            kind=suite.settings.kind,
            suite=reference,
            optimizer=_per_lane(optimizer),
            seed=suite.settings.seed,
            settings=narrow(suite.settings, target, surface=surface, domain=domain, sharpness=coefficient),
            data=(identities or {}).get(surface),
        )
        for surface, domain in suite.settings.domains.items()
        for optimizer in optimizers
        for coefficient in (suite.settings.sharpness or (None,))
    ]


def _per_lane(optimizer: OptimizerReference) -> OptimizerReference:
    if "scope" not in optimizer.hyperparameters:
        return optimizer
    return optimizer.model_copy(update={"hyperparameters": optimizer.hyperparameters | {"scope": "lane"}})


RATES_VERSION = "v2"
"""Counts the changes to what rates on quadratics are; it enters the identity of their runs."""


def plan_convergence(suite: ResolvedSuite[ConvergenceSuite]) -> list[RunSpec[ConvergenceSettings]]:
    """One run per capacity and momentum of a convergence suite."""
    reference, _ = _references(suite)
    return [
        RunSpec(
            kind="convergence",
            suite=reference,
            optimizer=None,
            seed=0,
            settings=narrow(suite.settings, ConvergenceSettings, capacity=capacity, beta=beta),
            data=RATES_VERSION,
        )
        for capacity in suite.settings.capacity
        for beta in suite.settings.beta
    ]
