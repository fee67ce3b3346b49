"""The contract of a metric of flatness: it gets a problem with settings, and returns what it has found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from cmbench.curvature.eigenvalues import Eigenpairs, top_eigenvalues
from cmbench.curvature.problem import loss_hessian
from cmbench.curvature.products import Hessian
from cmbench.experiments.measurements import SharpnessSettings
from cmbench.workloads.base import Task


@dataclass(frozen=True)
class Found:
    """What came out: numbers, lists of numbers, the steps (products, losses) and the gradients that they took.

    `error` says why there is no value where there is none.
    """

    metrics: dict[str, float | None]
    steps: int
    gradients: int
    curves: dict[str, list[float]] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Problem:
    """A model with the task that its loss is taken on; `m` is the batch size that it was trained with.

    `step_done` is called after every Hessian-vector product, and every loss of a slice. `others` are the solutions of
    other runs, as `weights_of` gives them, where the metric is about several.
    """

    model: nn.Module
    task: Task
    m: int
    step_done: Callable[[], None]
    others: Sequence[Sequence[Tensor]] = ()

    def hessian(self, settings: SharpnessSettings) -> tuple[Hessian, int]:
        """Of the loss over the examples of these settings, and the batches that a product goes through."""
        return loss_hessian(self.model, self.task, settings.batch_size, settings.examples)

    def eigenpairs(self, settings: SharpnessSettings, vectors: int = 1) -> tuple[Eigenpairs, int]:
        """The eigenvalues that these settings ask for, with so many eigenvectors; and the batches of a product."""
        hessian, batches = self.hessian(settings)
        found = top_eigenvalues(
            hessian,
            settings.top,
            which=settings.which,
            tolerance=settings.tolerance,
            iterations=settings.iterations,
            vectors=vectors,
            product_done=self.step_done,
        )
        return found, batches
