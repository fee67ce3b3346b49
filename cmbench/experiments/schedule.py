"""The learning rate over time: what a suite may say of it, and the factor of each step."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator
from typing_extensions import Self

from cmbench.experiments.frozen import Frozen

PositiveInt = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Schedule(Frozen):
    """What multiplies the learning rate, f(t) after t of T steps, with W steps of warm-up, D of decay and a floor φ:

    - `constant`: 1
    - `step`: `gamma` for every milestone passed; milestones count epochs in training and steps on landscapes
    - `cosine`: φ + (1 − φ)·(1 + cos πp)/2, `linear`: φ + (1 − φ)·(1 − p), with p = (t − W)/(T − W)
    - `wsd` (warm-up, stable, decay): 1, and in the last D steps linear with p = (t − T + D)/D
    - `package.module:Class`: a scheduler of torch's kind, whose arguments are the other keys; in training only

    In a warm-up, t < W, all but the last kind rise by (t + 1)/(W + 1). `warmup` is W, or where it is below 1, W/T;
    `decay` is D/T. A run that is shorter than its warm-up ends in it. Sources: Loshchilov & Hutter 2017 (cosine); Hu et
    al. 2024 (wsd).
    """

    name: str = "constant"
    milestones: tuple[PositiveInt, ...] = ()
    gamma: float = Field(default=0.1, gt=0)
    warmup: int | float = Field(default=0, ge=0)
    floor: Share = 0.0
    decay: Share = 0.2
    options: dict[str, Any] = Field(default={})

    _own: ClassVar[dict[str, tuple[str, ...]]] = {
        "constant": ("milestones", "gamma"),
        "step": ("milestones", "gamma"),
        "cosine": ("floor",),
        "linear": ("floor",),
        "wsd": ("decay", "floor"),
    }

    @property
    def is_class(self) -> bool:
        """Whether it is a scheduler class, and not one of the named ones."""
        return ":" in self.name

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and ":" in str(value.get("name")):
            return {"name": value["name"], "options": {k: given for k, given in value.items() if k != "name"}}
        return value

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in cls._own and ":" not in name:
            raise ValueError(f"accepted: {', '.join(map(repr, cls._own))} or 'package.module:Class'")
        return name

    @field_validator("warmup")
    @classmethod
    def _whole_steps(cls, warmup: int | float) -> int | float:
        if warmup >= 1 and warmup != int(warmup):
            raise ValueError("accepted: a number of steps, or a share of all steps below 1")
        return int(warmup) if warmup >= 1 else warmup

    @model_validator(mode="after")
    def _values_belong_to_it(self) -> Self:
        if not self.is_class and (foreign := self.model_fields_set - {"name", "warmup", *self._own[self.name]}):
            accepted = ", ".join(("warmup", *self._own[self.name]))
            raise ValueError(f"{', '.join(sorted(foreign))}: accepted for '{self.name}': {accepted}")
        if (self.name == "step") != bool(self.milestones):
            raise ValueError("a step schedule needs milestones, a constant one has none")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must increase")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Its own keys and no others, so that a schedule's document doesn't change when other kinds are added."""
        if self.is_class:
            return {"name": self.name, **self.options}
        own = ("name", *(("warmup",) if self.warmup else ()), *self._own[self.name])
        document = dump(self)
        return {key: document[key] for key in own}

    def factor(self, step: int, steps: int, epoch: int | None = None) -> float:
        """What the learning rate is multiplied by after `step` of `steps` steps, or of as many whole epochs.

        Milestones count `epoch` where it is given.
        """
        warmup = self.warmup if self.warmup >= 1 else round(self.warmup * steps)
        rise = (step + 1) / (warmup + 1) if step < warmup else 1.0
        if self.name in ("constant", "step"):
            return rise * self.gamma ** sum((step if epoch is None else epoch) >= each for each in self.milestones)
        begin = max(warmup, steps - round(self.decay * steps)) if self.name == "wsd" else warmup
        passed = min(max((step - begin) / (steps - begin), 0.0), 1.0) if steps > begin else 0.0
        left = (1 + math.cos(math.pi * passed)) / 2 if self.name == "cosine" else 1 - passed
        return rise * (self.floor + (1 - self.floor) * left)
