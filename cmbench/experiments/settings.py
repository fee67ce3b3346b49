"""What a suite file may say, as pydantic models: one class of settings per kind of run, one suite class around each."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationError, field_serializer, field_validator, model_validator
from typing_extensions import Self

from cmbench.experiments.frozen import Frozen
from cmbench.experiments.kinds import Kind
from cmbench.experiments.measurements import HowToMeasure, SharpnessMetric, Weights
from cmbench.experiments.schedule import PositiveInt, Schedule
from cmbench.optim.hyperparameters import ImplementationName

SharpnessCoefficient = Annotated[float, Field(gt=1)]


def _increasing(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1]:
        raise ValueError("a domain is [low, high] with low < high")
    return value


Interval = Annotated[tuple[float, float], AfterValidator(_increasing)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
MOST_SEEDS, MOST_THREADS = 10_000, 1024
MOST_NUMBERS = 10_000_000
"""Seeds of a suite, threads of a run, numbers that the starts of a cell hold, and steps: more is a slip of the pen."""


class CheckpointSettings(Frozen):
    """How often a training run saves what it needs to go on after being killed. No part of a run's identity."""

    every_steps: int = Field(default=500, ge=1)
    every_minutes: float | None = Field(default=None, gt=0)
    keep_best: bool = Field(default=True, description="also the weights of the best epoch")


class TelemetrySettings(Frozen):
    """What is recorded per epoch besides what always is. No part of a run's identity, and at no cost when off."""

    gradient_norm: bool = Field(default=False, description="mean norm of the gradients that the steps were made with")
    buffer: bool = Field(
        default=False, description="variance and agreement of the buffer's entries, and how many it accepted"
    )
    sharpness_every: int | None = Field(
        default=None, ge=1, description="epochs between measurements of top eigenvalue and m-sharpness"
    )
    sharpness_examples: int = Field(default=500, ge=1, description="training examples that they are measured on")

    unless_default: ClassVar = ("gradient_norm", "buffer", "sharpness_every", "sharpness_examples")

    @classmethod
    def of_environment(cls, environment: dict[str, Any]) -> TelemetrySettings:
        """What a result's environment says was recorded; nothing, where it says something else."""
        try:
            return cls.model_validate(environment.get("telemetry", {}))
        except ValidationError:
            return cls()

    def covers(self, wanted: TelemetrySettings, epochs: int) -> bool:
        """Whether a run of so many epochs that records this has all that is wanted, at every epoch where it is due."""
        if wanted.gradient_norm > self.gradient_norm or wanted.buffer > self.buffer:
            return False
        due = wanted.sharpness_every
        if due is None or due > epochs:
            return True
        often_enough = self.sharpness_every is not None and due % self.sharpness_every == 0
        return often_enough and wanted.sharpness_examples == self.sharpness_examples

    def together_with(self, other: TelemetrySettings) -> TelemetrySettings:
        """What covers both; where they measure sharpness on different numbers of examples, as this one does."""
        every = [settings.sharpness_every for settings in (self, other) if settings.sharpness_every]
        own = self if self.sharpness_every else other
        return TelemetrySettings(
            gradient_norm=self.gradient_norm or other.gradient_norm,
            buffer=self.buffer or other.buffer,
            sharpness_every=math.gcd(*every) if every else None,
            sharpness_examples=own.sharpness_examples,
        )


class AverageSettings(Frozen):
    """An exponential moving average of the weights, evaluated beside them: `{decay: 0.999}`, or `0.999` for short."""

    decay: float = Field(default=0.999, ge=0, lt=1)
    from_step: int = Field(default=0, ge=0, description="steps before the first whose weights it holds")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"decay": value} if isinstance(value, float) else value


class PaperReference(Frozen):
    """The place in the paper that a suite corresponds to, e.g. `{table: 2, column: cifar10}`."""

    table: int | None = None
    figure: int | None = None
    column: str | None = None
    starts: int | None = Field(default=None, ge=1, description="how many starts or seeds the paper's numbers are over")
    also: tuple[str, ...] = Field(default=(), description="further places that its runs are about, e.g. figure20")


class TrainSettings(Frozen):
    """What determines a training run besides its optimizer and seed.

    `options` are those of the workload that are not its defaults.
    """

    workload: str
    options: dict[str, Any] = Field(default={})
    epochs: int = Field(ge=1, le=1_000_000)
    batch_size: int = Field(ge=1)
    schedule: Schedule = Schedule()
    loss_bound: float = Field(
        default=1e6, gt=0, description="a training loss above it (or NaN, inf) ends the run as diverged"
    )
    max_steps: int | None = Field(default=None, ge=1, description="the run ends after so many steps, if not before")
    precision: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="of the forward pass, by autocast")
    channels_last: bool = Field(default=False, description="images and convolutions in that memory format")
    compile: bool = Field(default=False, description="the model, by torch.compile")
    clip_norm: float | None = Field(default=None, gt=0, description="largest norm of a gradient")
    accumulate: int = Field(default=1, ge=1, description="parts that a batch is computed in")
    parallel: Literal["ddp", "fsdp"] = Field(default="ddp", description="how several processes share the model")
    average: AverageSettings | None = None
    no_decay: tuple[str, ...] = Field(default=(), description="patterns of parameters without weight decay")
    lr_scale: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="factors of the learning rate, by a pattern of parameters"
    )

    unless_default: ClassVar = (
        *("options", "max_steps", "precision", "channels_last", "compile"),
        *("clip_norm", "accumulate", "parallel"),
        *("average", "no_decay", "lr_scale"),
    )


class _Cells(Frozen):
    """What all cells of a landscape suite have in common."""

    dim: int = Field(default=2, ge=1, le=MOST_NUMBERS)
    domain: Interval | None = Field(
        default=None, description="start points are uniform in it; the surface's own if absent"
    )
    starts: int = Field(
        default=20, ge=0, le=MOST_NUMBERS, description="how many are drawn; 0 where start points are given instead"
    )
    start_points: tuple[tuple[float, ...], ...] | None = Field(default=None, description="given, before those drawn")
    steps: int = Field(default=500, ge=1, le=MOST_NUMBERS)
    schedule: Schedule = Schedule()

    @property
    def count(self) -> int:
        """How many starts a cell has: those given and those drawn."""
        return len(self.start_points or ()) + self.starts

    @field_validator("schedule")
    @classmethod
    def _of_factors(cls, value: Schedule) -> Schedule:
        if value.is_class:
            raise ValueError("a scheduler class is for training: accepted on landscapes: a named schedule")
        return value

    @model_validator(mode="before")
    @classmethod
    def _given_alone(cls, value: Any) -> Any:
        """Where start points are given and no number of starts is, none is drawn."""
        if isinstance(value, dict) and value.get("start_points") and value.get("starts") is None:
            return value | {"starts": 0}
        return value

    @model_validator(mode="after")
    def _points_fit(self) -> Self:
        if any(len(point) != self.dim for point in self.start_points or ()):
            raise ValueError(f"every start point needs {self.dim} coordinates")
        if not self.starts and not self.start_points:
            raise ValueError("starts: 0: accepted without start_points: a number >= 1")
        if self.count * self.dim > MOST_NUMBERS:
            raise ValueError(f"{self.count:,} starts in {self.dim:,}-D: accepted: {MOST_NUMBERS:,} numbers together")
        return self


class _ToyCells(_Cells):
    """What cells of a toy suite have beside; `spectrum` belongs to the surfaces that take it."""

    spectrum: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(
        default=None, description="eigenvalues, one per dim"
    )
    trace: tuple[PositiveInt, ...] = Field(default=(), description="steps, counted from 1, whose buffer is recorded")

    @model_validator(mode="after")
    def _trace_is_run(self) -> Self:
        if beyond := [step for step in self.trace if step > self.steps]:
            raise ValueError(f"trace: {beyond[0]}: accepted: steps from 1 to {self.steps}, which is the last")
        return self


class LandscapeSettings(_Cells):
    """What determines one cell of landscape runs besides its optimizer and seed.

    `sharpness` (the coefficient s of Eq. 9) belongs to the surfaces that take it.
    """

    surface: str
    sharpness: SharpnessCoefficient | None = None


class ToySettings(_ToyCells, LandscapeSettings):
    """A cell of `cmbench toy`."""


class EscapeSettings(LandscapeSettings):
    """A cell of `cmbench escape-ratio`: one sharpness coefficient of Eq. 9."""

    sharpness: SharpnessCoefficient


class _Quadratics(Frozen):
    """The quadratics of a convergence suite."""

    condition_numbers: tuple[Annotated[float, Field(ge=1)], ...] = Field(
        default=(1, 10, 100, 1000, 10000), min_length=1
    )


ConvergenceCapacity = Annotated[int, Field(ge=0, le=1000)]
"""The rate is a root of a polynomial of this degree: gigabytes, where it is a thousand."""


class ConvergenceSettings(_Quadratics):
    """Asymptotic rates on quadratics (section 3.2) for one capacity of the memory; 0 is classical momentum."""

    capacity: ConvergenceCapacity = 5
    beta: float | None = Field(
        default=None, ge=0, lt=1, description="fixed momentum; optimised together with α if absent"
    )

    @property
    def title(self) -> str:
        """`C=5, β=0.9`, or `C=5, β optimised`."""
        return f"C={self.capacity}, " + ("β optimised" if self.beta is None else f"β={self.beta:g}")


class SuiteBase(Frozen):
    """What every suite has."""

    kind: Kind
    description: str
    optimizers: dict[str, dict[str, Any]] = Field(default={})
    paper: PaperReference | None = None
    notes: tuple[str, ...] = Field(default=(), description="sentences that stand below its tables")


class TrainSuite(TrainSettings, SuiteBase):
    """`kind: train`"""

    kind: Literal["train"]
    seeds: int = Field(default=1, ge=1, le=MOST_SEEDS)
    grid: dict[str, tuple[Any, ...]] = Field(default={}, description="values that `--grid` tries, by hyperparameter")
    space: dict[str, Any] = Field(default={}, description="what `cmbench sweep` tries, by hyperparameter or setting")
    checkpoint: CheckpointSettings = CheckpointSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    implementation: ImplementationName = Field(default="auto", description="how an optimizer's step is carried out")

    @field_serializer("space")
    def _as_written(self, space: dict[str, Any]) -> dict[str, Any]:
        return {name: axis.document() for name, axis in space.items()}


class _Surfaces(_Cells, SuiteBase):
    """One surface with its domain, or several: `surfaces: {levy: [-10, 10], ackley: null}`; each for every coefficient
    of `sharpness`.
    """

    seed: Seed = 0
    surface: str | None = None
    surfaces: dict[str, Interval | None] = Field(default={})
    sharpness: tuple[SharpnessCoefficient, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.surface is None) == (not self.surfaces):
            raise ValueError("give either surface (and domain) or surfaces")
        return self

    @property
    def domains(self) -> dict[str, Interval | None]:
        """Every surface of the suite with its domain."""
        return self.surfaces if self.surface is None else {self.surface: self.domain}


class ToySuite(_Surfaces, _ToyCells):
    """`kind: toy`"""

    kind: Literal["toy"]


class EscapeSuite(_Surfaces):
    """`kind: escape-ratio`"""

    kind: Literal["escape-ratio"]
    surface: str | None = "sharp_flat"
    sharpness: tuple[SharpnessCoefficient, ...] = Field(min_length=1)


class SharpnessSuite(HowToMeasure, SuiteBase):
    """`kind: sharpness`: measures the finished runs of the training suites `of`, each metric at each of the weights.

    One of each may be given without a list.
    """

    kind: Literal["sharpness"]
    of: tuple[str, ...] = Field(min_length=1, description="training suites")
    metric: tuple[SharpnessMetric, ...] = Field(default=("top-eigenvalue",), min_length=1)
    at: tuple[Weights, ...] = Field(default=("last",), min_length=1, description="weights: last, best or epoch=N")

    @field_validator("of", "metric", "at", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class ConvergenceSuite(_Quadratics, SuiteBase):
    """`kind: convergence`"""

    kind: Literal["convergence"]
    capacity: tuple[ConvergenceCapacity, ...] = Field(default=(0, 5), min_length=1)
    beta: tuple[Annotated[float, Field(ge=0, lt=1)] | None, ...] = Field(default=(None, 0.9), min_length=1)


LandscapeSuite = ToySuite | EscapeSuite
Suite = TrainSuite | LandscapeSuite | SharpnessSuite | ConvergenceSuite
SUITE_TYPES: dict[str, type[Suite]] = {
    "train": TrainSuite,
    "toy": ToySuite,
    "escape-ratio": EscapeSuite,
    "sharpness": SharpnessSuite,
    "convergence": ConvergenceSuite,
}
