"""What a measurement of flatness depends on: its metric, the weights it is made at, and each metric's settings."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from cmbench.experiments.frozen import Frozen

SharpnessMetric = Literal[
    "top-eigenvalue", "m-sharpness", "adaptive-sharpness", "trace", "spectrum", "slice", "barrier", "plane"
]
_EIGENPAIRS = ("examples", "batch_size", "tolerance", "iterations", "top", "which")
_ASCENT = ("examples", "m", "radius", "maximiser")
READ_BY: dict[SharpnessMetric, tuple[str, ...]] = {
    "top-eigenvalue": _EIGENPAIRS,
    "m-sharpness": _ASCENT,
    "adaptive-sharpness": _ASCENT,
    "trace": ("examples", "batch_size", "products"),
    "spectrum": ("examples", "batch_size", "vectors", "steps"),
    "slice": (*_EIGENPAIRS, "reach", "points"),
    "barrier": ("examples", "batch_size", "to", "points"),
    "plane": ("examples", "batch_size", "to", "points"),
}
"""The settings that each metric of flatness depends on, besides which weights it is measured at."""
OTHER_RUNS: dict[SharpnessMetric, int] = {"barrier": 1, "plane": 2}
"""The metrics of several runs, and how many there are besides the measured one."""
MOST_DIRECTIONS = 2
"""Eigenvectors that a slice may be along."""
Weights = Annotated[str, Field(pattern=r"^(last|best|epoch=\d+)$")]
"""Those of the last or of the best epoch, or `epoch=N`."""


class HowToMeasure(Frozen):
    """What a measurement of flatness depends on besides what is measured, and where."""

    examples: int | None = Field(
        default=None, ge=1, description="training examples that the loss is taken over; all if absent"
    )
    batch_size: int = Field(default=500, ge=1, description="examples that are differentiated twice at a time")
    tolerance: float = Field(default=1e-4, gt=0, description="relative residual ‖Hv − λv‖/|λ| at which to stop")
    iterations: int = Field(default=200, ge=1, description="Hessian-vector products at the most")
    top: int = Field(default=1, ge=1, description="how many eigenvalues")
    which: Literal["algebraic", "magnitude"] = Field(default="algebraic", description="largest by value, or by size")
    m: int | None = Field(default=None, ge=1, description="examples per ascent; the run's batch size if absent")
    radius: float | None = Field(default=None, gt=0, description="of the ball; 0.05 if absent, 0.5 where adaptive")
    maximiser: Literal["ascent", "projected"] = Field(default="projected", description="how the ball is searched")
    products: int = Field(default=60, ge=6, description="of the trace, with random vectors")
    vectors: int = Field(default=4, ge=1, description="random vectors of the spectrum")
    steps: int = Field(default=40, ge=1, description="products of the spectrum with each of them")
    reach: float = Field(default=1.0, gt=0, description="of a slice: the largest distance from the weights")
    points: int | None = Field(
        default=None, description="values of the loss on a line or a side of a plane; 41 on a line if absent, else 21"
    )
    to: tuple[str, ...] = Field(default=(), description="other runs of the barrier or plane, as targets or ids")

    @field_validator("points")
    @classmethod
    def _with_ends_and_middle(cls, value: int | None) -> int | None:
        if value is not None and (value < 5 or value % 4 != 1):
            raise ValueError("accepted: 5, 9, 13, … (4k + 1), so that the weights themselves are among the points")
        return value


class SharpnessSettings(HowToMeasure):
    """A measurement of a finished training run: how flat the training loss is at its weights."""

    of: str = Field(description="id of the measured run")
    metric: SharpnessMetric = "top-eigenvalue"
    at: Weights = Field(default="last", description="weights: last, best or epoch=N")

    unless_default: ClassVar = ("at",)

    def document(self) -> dict[str, Any]:
        """Without what the metric does not depend on, and what is the metric's own default."""
        read = ("of", "metric", "at", *READ_BY[self.metric])
        return {name: value for name, value in super().document().items() if name in read}
