"""What is measured of the loss on lines and planes: along a Hessian's top eigenvectors, and between solutions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from cmbench.curvature.contract import Found, Problem
from cmbench.curvature.problem import evaluation_batches, loss_of
from cmbench.curvature.products import Batches, Loss, in_shapes
from cmbench.curvature.running_statistics import measure_statistics
from cmbench.curvature.slices import (
    Tensors,
    Triangle,
    along,
    around,
    combined_losses,
    distance,
    heights_over_chord,
    second_difference,
    weights_of,
)
from cmbench.experiments.measurements import SharpnessSettings

ON_A_LINE, ON_A_SIDE = 41, 21
"""Points, where a setting does not say how many."""


def slice_along_eigenvectors(problem: Problem, settings: SharpnessSettings) -> Found:
    """L(θ + x·v₁), or L(θ + x·v₁ + y·v₂), for unit eigenvectors v of the largest eigenvalues, |x| and |y| ≤ reach.

    Beside it `curvature`, the second difference of L along v₁ at θ, which is the eigenvalue up to rounding and terms of
    the sixth order; and the `lowest` loss on the slice. The statistics of batch normalisation stay those of the run.
    """
    pairs, passes = problem.eigenpairs(settings, settings.top)
    values = [each.estimate for each in pairs.eigenvalues]
    first = pairs.eigenvalues[0]
    metrics: dict[str, float | None] = {"top_eigenvalue": first.value, "residual": first.residual}
    metrics |= {"products": first.products}
    gradients = 2 * passes * first.products
    if lost := pairs.why_lost(settings.tolerance):
        return Found(metrics, first.products, gradients, error=lost)
    params = [p for p in problem.model.parameters() if p.requires_grad]
    parts = [[p.detach().clone() for p in params], *(in_shapes(_signed(vector), params) for vector in pairs.vectors)]
    dimensions = len(pairs.vectors)
    grid = around(settings.reach, settings.points or (ON_A_LINE, ON_A_SIDE)[dimensions - 1], dimensions)
    losses = _losses(problem, settings, params, parts, [(1.0, *point) for point in grid.points])
    size, here = len(grid.x), len(losses) // 2
    row = here - here % size
    lines = [losses[row : row + size], losses[here % size :: size]][:dimensions]
    step = settings.reach / (size // 2)
    curvatures = [second_difference(line, step) for line in lines]
    metrics |= {"loss": losses[here], "curvature": curvatures[0], "lowest": _lowest(losses)}
    curves = {**grid.curves, "loss": losses, "eigenvalues": values, "curvatures": curvatures}
    return Found(metrics, first.products + len(losses), gradients, curves, _unless_finite(losses[here]))


def barrier(problem: Problem, settings: SharpnessSettings) -> Found:
    """L((1 − t)·θ + t·θ′) for t in [−0.5, 1.5], where θ′ is the solution of another run (Goodfellow et al. 2015).

    `barrier` is the largest L − ((1 − t)·L(θ) + t·L(θ′)) for t in [0, 1] (Frankle et al. 2020), found at `highest_at`;
    `distance` is ‖θ − θ′‖₂. At every point, batch normalisation gets the statistics of its own activations.
    """
    corners = _corners(problem)
    far = distance(*(_parameters(problem, corner) for corner in corners))
    if not far:
        return Found({"distance": far}, 0, 0, error="the weights are the same: there is no line between them")
    grid = along(settings.points or ON_A_LINE)
    losses = _between(problem, settings, corners, [(1 - t, t) for (t,) in grid.points])
    t = grid.x.tolist()
    heights = heights_over_chord(t, losses)
    start, end = t.index(0), t.index(1)
    metrics: dict[str, float | None] = {"barrier": max(heights), "highest_at": t[start + heights.index(max(heights))]}
    metrics |= {"distance": far, "loss": losses[start], "loss_other": losses[end]}
    error = None
    if not all(map(math.isfinite, heights)):
        metrics |= {"barrier": None, "highest_at": None}
        error = "the loss is no finite number somewhere between the solutions"
    return Found(metrics, len(losses), 0, {"t": t, "loss": losses}, error)


def plane(problem: Problem, settings: SharpnessSettings) -> Found:
    """L in the plane through this solution and two others (Garipov et al. 2018), in units of the weights.

    The curves `solutions_x`, `solutions_y` and `solutions_loss` hold the three, this one first, at the origin, the
    next one to the right of it. `centre` is the loss at the mean of their weights, and `distance_…` are the sides of
    the triangle. Batch normalisation as in `barrier`.
    """
    corners = _corners(problem)
    try:
        triangle = Triangle.of(*(_parameters(problem, corner) for corner in corners))
    except ValueError as degenerate:
        return Found({}, 0, 0, error=str(degenerate))
    grid = triangle.grid(settings.points or ON_A_SIDE)
    themselves = [tuple(float(i == j) for j in range(3)) for i in range(3)]
    shares = [*themselves, (1 / 3, 1 / 3, 1 / 3), *(triangle.shares(x, y) for x, y in grid.points)]
    found = _between(problem, settings, corners, shares)
    at_corners, centre, losses = found[:3], found[3], found[4:]
    x, y = triangle.corners
    metrics: dict[str, float | None] = {"loss": at_corners[0], "centre": centre, "lowest": _lowest(losses)}
    for name, (i, j) in (("first", (0, 1)), ("second", (0, 2)), ("others", (1, 2))):
        metrics[f"distance_{name}"] = math.dist((x[i], y[i]), (x[j], y[j]))
    curves = {**grid.curves, "loss": losses, "solutions_x": x, "solutions_y": y, "solutions_loss": at_corners}
    return Found(metrics, len(found), 0, curves, _unless_finite(*at_corners))


def _corners(problem: Problem) -> list[Tensors]:
    return [[tensor.detach().clone() for tensor in weights_of(problem.model)], *problem.others]


def _parameters(problem: Problem, corner: Tensors) -> Tensors:
    """Of what makes up a solution, the weights alone."""
    return corner[: sum(1 for _ in problem.model.parameters())]


def _between(
    problem: Problem, settings: SharpnessSettings, corners: Sequence[Tensors], shares: Sequence[Sequence[float]]
) -> list[float]:
    """The loss where the solutions have these shares (N, K), with statistics of its own at each point."""
    return _losses(problem, settings, weights_of(problem.model), corners, shares, measure_statistics)


def _losses(
    problem: Problem,
    settings: SharpnessSettings,
    moved: Tensors,
    parts: Sequence[Tensors],
    coefficients: Sequence[Sequence[float]],
    prepare: Callable[[nn.Module, Loss, Batches], None] | None = None,
) -> list[float]:
    """`combined_losses` of the training loss; `prepare` changes the model at every point."""
    model, loss = problem.model, loss_of(problem.task)
    batches = evaluation_batches(problem.task, settings.batch_size, settings.examples)
    moved_to = partial(prepare, model, loss, batches) if prepare else lambda: None
    return combined_losses(
        model, loss, batches, moved, parts, coefficients, moved_to=moved_to, loss_done=problem.step_done
    )


def _signed(vector: Tensor) -> Tensor:
    """The unit vector along ±`vector` (n,) whose largest entry is positive."""
    unit: Tensor = vector / torch.linalg.vector_norm(vector)
    return unit * unit[unit.abs().argmax()].sign()


def _lowest(losses: Sequence[float]) -> float | None:
    return min((value for value in losses if math.isfinite(value)), default=None)


def _unless_finite(*losses: float) -> str | None:
    return None if all(map(math.isfinite, losses)) else "the loss is no finite number at the weights"
