"""Minima by Newton's method, and exact Hessians, for many points at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


@torch.enable_grad()
def derivatives(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (..., D) and exact Hessian (..., D, D) of `function` at each point of `x` (..., D), by autograd."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    rows = [torch.zeros_like(x)] * x.shape[-1]
    if gradient.requires_grad:
        rows = [
            torch.autograd.grad(gradient[..., d].sum(), x, retain_graph=True, materialize_grads=True)[0]
            for d in range(x.shape[-1])
        ]
    return gradient.detach(), torch.stack(rows, -2)


def largest_eigenvalue(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The paper's sharpness h_max: the largest eigenvalue of the exact Hessian at each point of `x` (..., D).

    NaN where the Hessian is not finite. Source: the end of section 3.2.
    """
    _, hessian = derivatives(function, x)
    finite = hessian.isfinite().all(-1).all(-1)
    safe = torch.where(finite[..., None, None], hessian, 0.0)
    return torch.where(finite, torch.linalg.eigvalsh(safe)[..., -1], torch.nan)


def polish(function: Callable[[Tensor], Tensor], x: Tensor, iterations: int = 20) -> Tensor:
    """`x` (..., D) after `iterations` Newton steps; each point needs to start close to the one it is to find."""
    for _ in range(iterations):
        gradient, hessian = derivatives(function, x)
        singular = torch.linalg.det(hessian).abs() < 1e-12
        hessian = torch.where(singular[..., None, None], torch.eye(x.shape[-1]).to(x), hessian)
        x = x - torch.linalg.solve(hessian, gradient)
    return x.detach()


def grid_minima(function: Callable[[Tensor], Tensor], domain: tuple[float, float], dim: int) -> Tensor:
    """The minima (M, D) of a smooth function inside `domain`, for `dim` 1 or 2.

    Grid points lower than all their neighbours are polished by Newton's method; what does not end at a zero gradient
    with a positive definite Hessian, near where it began, is left out. Minima closer together than the grid, 1/400 of
    the domain, may be missed.
    """
    axis = torch.linspace(*domain, 401, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(*[axis] * dim, indexing="ij"), -1)
    values = function(grid)
    pool = torch.nn.functional.max_pool1d if dim == 1 else torch.nn.functional.max_pool2d
    begin = grid[values == -pool(-values[None, None], 3, stride=1, padding=1)[0, 0]]
    end = polish(function, begin)
    gradient, hessian = derivatives(function, end)
    spacing = (domain[1] - domain[0]) / 400
    good = (
        (gradient.abs().amax(-1) < 1e-8)
        & (torch.linalg.eigvalsh(torch.nan_to_num(hessian))[..., 0] > 0)
        & ((end - begin).abs().amax(-1) < 4 * spacing)
    )
    minima: Tensor = torch.unique(end[good].mul(1e9).round().div(1e9), dim=0)
    return minima
