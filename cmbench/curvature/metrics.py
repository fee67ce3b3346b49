"""What `cmbench sharpness` measures of a model, by the name of its metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from cmbench.curvature.eigenvalues import Eigenvalue, top_eigenvalues
from cmbench.curvature.m_sharpness import m_sharpness
from cmbench.curvature.problem import evaluation_batches, loss_hessian, loss_of
from cmbench.curvature.products import Hessian
from cmbench.curvature.spectrum import spectrum
from cmbench.curvature.trace import trace
from cmbench.experiments.measurements import SharpnessMetric, SharpnessSettings
from cmbench.workloads.base import Task


@dataclass(frozen=True)
class Found:
    """What came out: numbers, lists of numbers, the products or ascent steps and the gradients that they took.

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

    `product_done` is called after every Hessian-vector product.
    """

    model: nn.Module
    task: Task
    m: int
    product_done: Callable[[], None]

    def hessian(self, settings: SharpnessSettings) -> tuple[Hessian, int]:
        """Of the loss over the examples of these settings, and the batches that a product goes through."""
        return loss_hessian(self.model, self.task, settings.batch_size, settings.examples)


def measure_metric(problem: Problem, settings: SharpnessSettings) -> Found:
    """The metric of `settings`, of a model in the mode that it is in."""
    return _METRICS[settings.metric](problem, settings)


def _top_eigenvalue(problem: Problem, settings: SharpnessSettings) -> Found:
    hessian, batches = problem.hessian(settings)
    found = top_eigenvalues(
        hessian,
        settings.top,
        which=settings.which,
        tolerance=settings.tolerance,
        iterations=settings.iterations,
        product_done=problem.product_done,
    ).eigenvalues
    first = found[0]
    metrics = {"top_eigenvalue": first.value, "residual": first.residual, "converged": float(first.converged)}
    low, high = first.interval
    metrics |= {"low": low, "high": high, "products": first.products}
    metrics |= {} if first.converged else {"estimate": first.estimate}
    curves = {"eigenvalues": [each.estimate for each in found], "residuals": [each.residual for each in found]}
    lost = [each for each in found if not each.converged]
    return Found(
        metrics,
        first.products,
        2 * batches * first.products,
        curves if len(found) > 1 else {},
        _not_converged(lost[0], settings) if lost else None,
    )


def _not_converged(lost: Eigenvalue, settings: SharpnessSettings) -> str:
    if not math.isfinite(lost.estimate):
        return "the Hessian's products are not finite numbers"
    best = f"the best estimate is {lost.estimate:.6g} with a residual of {lost.residual:.2g}"
    return f"not converged to {settings.tolerance:g} in {lost.products} products: {best}"


def _m_sharpness(problem: Problem, settings: SharpnessSettings) -> Found:
    m = settings.m or problem.m
    batches = evaluation_batches(problem.task, m, settings.examples)
    found = m_sharpness(
        problem.model,
        loss_of(problem.task),
        batches,
        settings.radius,
        maximiser=settings.maximiser,
        adaptive=settings.metric == "adaptive-sharpness",
    )
    name = settings.metric.replace("-", "_")
    metrics: dict[str, float | None] = {name: found.value, "largest": found.largest, "smallest": found.smallest}
    error = None if math.isfinite(found.value) else "the loss is no finite number in the ball"
    return Found(metrics | {"m": m, "batches": len(batches)}, found.losses, found.gradients, error=error)


def _trace(problem: Problem, settings: SharpnessSettings) -> Found:
    hessian, batches = problem.hessian(settings)
    found = trace(hessian, settings.products, product_done=problem.product_done)
    low, high = found.interval
    metrics: dict[str, float | None] = {"trace": found.value, "low": low, "high": high, "products": found.products}
    error = None if math.isfinite(found.value) else "the Hessian's products are not finite numbers"
    return Found(metrics, found.products, 2 * batches * found.products, error=error)


def _spectrum(problem: Problem, settings: SharpnessSettings) -> Found:
    hessian, batches = problem.hessian(settings)
    try:
        found = spectrum(hessian, settings.vectors, settings.steps, product_done=problem.product_done)
    except ValueError as error:
        return Found({}, hessian.products, 2 * batches * hessian.products, error=str(error))
    metrics: dict[str, float | None] = {
        "negative_share": found.negative,
        "highest": float(found.nodes.max()),
        "lowest": float(found.nodes.min()),
        "products": found.products,
    }
    curves = {"nodes": found.nodes.tolist(), "weights": found.weights.tolist()}
    return Found(metrics, found.products, 2 * batches * found.products, curves)


_METRICS: Mapping[SharpnessMetric, Callable[[Problem, SharpnessSettings], Found]] = {
    "top-eigenvalue": _top_eigenvalue,
    "m-sharpness": _m_sharpness,
    "adaptive-sharpness": _m_sharpness,
    "trace": _trace,
    "spectrum": _spectrum,
}
