"""What `cmbench sharpness` measures of a model, by the name of its metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from cmbench.curvature.contract import Found, Problem
from cmbench.curvature.m_sharpness import m_sharpness
from cmbench.curvature.problem import evaluation_batches, loss_of
from cmbench.curvature.slice_metrics import barrier, plane, slice_along_eigenvectors
from cmbench.curvature.spectrum import spectrum
from cmbench.curvature.trace import trace
from cmbench.experiments.measurements import SharpnessMetric, SharpnessSettings


def measure_metric(problem: Problem, settings: SharpnessSettings) -> Found:
    """The metric of `settings`, of a model in the mode that it is in."""
    return _METRICS[settings.metric](problem, settings)


def _top_eigenvalue(problem: Problem, settings: SharpnessSettings) -> Found:
    pairs, batches = problem.eigenpairs(settings)
    found = pairs.eigenvalues
    first = found[0]
    metrics = {"top_eigenvalue": first.value, "residual": first.residual, "converged": float(first.converged)}
    low, high = first.interval
    metrics |= {"low": low, "high": high, "products": first.products}
    metrics |= {} if first.converged else {"estimate": first.estimate}
    curves = {"eigenvalues": [each.estimate for each in found], "residuals": [each.residual for each in found]}
    return Found(
        metrics,
        first.products,
        2 * batches * first.products,
        curves if len(found) > 1 else {},
        pairs.why_lost(settings.tolerance),
    )


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
    found = trace(hessian, settings.products, product_done=problem.step_done)
    low, high = found.interval
    metrics: dict[str, float | None] = {"trace": found.value, "low": low, "high": high, "products": found.products}
    error = None if math.isfinite(found.value) else "the Hessian's products are not finite numbers"
    return Found(metrics, found.products, 2 * batches * found.products, error=error)


def _spectrum(problem: Problem, settings: SharpnessSettings) -> Found:
    hessian, batches = problem.hessian(settings)
    try:
        found = spectrum(hessian, settings.vectors, settings.steps, product_done=problem.step_done)
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
    "slice": slice_along_eigenvectors,
    "barrier": barrier,
    "plane": plane,
}
