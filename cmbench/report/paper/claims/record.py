"""What a claim is made of: who should be better than whom, in what, and on which suite that is tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from cmbench.experiments.measurements import SharpnessMetric


class Place(NamedTuple):
    """A table or figure of the paper, or a question of our own: `Place("question", 0, "priorities")`."""

    kind: Literal["table", "figure", "question"]
    number: int
    topic: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether the paper says nothing about it."""
        return self.kind == "question"

    @property
    def text(self) -> str:
        """`Table 2`, or `our question: priorities`."""
        return f"our question: {self.topic}" if self.is_ours else f"{self.kind.capitalize()} {self.number}"

    @property
    def name(self) -> str:
        """`table2`, as suites and claims are named by their place; `priorities`."""
        return self.topic or f"{self.kind}{self.number}"


@dataclass(frozen=True)
class Of:
    """The rows of an optimizer, by its registry name, with these hyperparameters; of `suite`, if not the claim's."""

    optimizer: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    suite: str | None = None

    def means(self, optimizer: str, hyperparameters: Mapping[str, Any]) -> bool:
        """Whether an optimizer is one of these."""
        return optimizer == self.optimizer and all(
            hyperparameters.get(name) == value for name, value in self.hyperparameters.items()
        )


class Measured(NamedTuple):
    """A metric of flatness (`m-sharpness`) at some weights (`best`), measured as the sharpness suite says."""

    suite: str
    metric: SharpnessMetric
    at: str


Order = tuple[tuple[Of, ...], ...]
Relation = Literal["lower", "higher", "equal", "below", "differs"]


@dataclass(frozen=True)
class Claim:
    """Every row of a group of `order` is better than (or equal to) every row of the next one.

    `name` tells it from the other claims of its place and column. It is tried by the runs of `suite` with the settings
    of its file, by `metric`: a metric of a training run or a lane of a landscape run, or `CURVE@end`, `CURVE@mean` for
    the last or the mean value of a curve, or with `measured` a metric of that measurement of the run; where
    `coefficients` are given, for each of these, or `pooled`: by the mean over them. `relation` is the direction that is
    better; `equal` means that the difference is smaller than `margin`, or than `relative_margin` times the mean of the
    second; `below` that every value of the only group is smaller than `margin`, which takes no statistics; `differs`
    asks whether the first differs from the second, in either direction, or is within these margins of it. `matched`
    names a hyperparameter: only rows with the same value of it are compared. `column` is that of the paper's table,
    `surface` one of the suite's surfaces. `printed_in` is the table whose numbers the claim of a figure is about.
    """

    name: str
    place: Place
    text: str
    suite: str
    metric: str
    relation: Relation
    order: Order
    column: str | None = None
    surface: str | None = None
    measured: Measured | None = None
    coefficients: tuple[float, ...] = ()
    pooled: bool = False
    matched: str | None = None
    margin: float | None = None
    relative_margin: float | None = None
    printed_in: int | None = None

    @property
    def id(self) -> str:
        """`table2/cifar10/cm-best`, `figure6/cm-reaches`."""
        return "/".join(part for part in (self.place.name, self.column or self.surface, self.name) if part)

    @property
    def across_suites(self) -> bool:
        """Whether it compares runs of several suites."""
        return any(of.suite for group in self.order for of in group)
