"""Where the minima of the surfaces are: the nearest one to a point, or all of them where they are few."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from cmbench.landscapes.functions import ackley, ackley_rosenbrock, levy
from cmbench.landscapes.stationary import grid_minima, polish


def among(points: Callable[[], Tensor]) -> Callable[[Tensor], Tensor]:
    """Maps every x to the nearest of `points` (M, D)."""

    def nearest(x: Tensor) -> Tensor:
        known = points().to(x)
        return known[torch.cdist(x.flatten(0, -2), known).argmin(-1)].reshape(x.shape)

    return nearest


def _nearest_number(x: Tensor, numbers: Tensor) -> Tensor:
    numbers = numbers.flatten().to(x)
    return numbers[(x.unsqueeze(-1) - numbers).abs().argmin(-1)]


def ackley_nearest(x: Tensor) -> Tensor:
    lattice, which = torch.unique(x.round(), dim=0, return_inverse=True)
    return torch.where((lattice == 0).all(-1, keepdim=True), 0.0, polish(ackley, lattice))[which]


@cache
def _levy_lines() -> tuple[Tensor, Tensor, Tensor]:
    """The minima of Levy's function along its first, an inner and its last coordinate."""
    one = torch.ones((), dtype=torch.float64)

    def along(coordinate: int) -> Tensor:
        def line(x: Tensor) -> Tensor:
            point = [one.expand(x.shape[:-1])] * 3
            point[coordinate] = x[..., 0]
            return levy(torch.stack(point, -1))

        return grid_minima(line, (-20, 20), 1)

    return along(0), along(1), along(2)


def levy_nearest(x: Tensor) -> Tensor:
    first, inner, last = _levy_lines()
    dim = x.shape[-1]
    if dim == 1:  # the first coordinate is the last one too
        return _nearest_number(x, grid_minima(levy, (-20, 20), 1))
    lines = [first, *[inner] * (dim - 2), last]
    return torch.stack([_nearest_number(x[..., d], lines[d]) for d in range(dim)], -1)


def goldstein_price_minima() -> Tensor:
    return torch.tensor([[0, -1], [-0.6, -0.4], [1.8, 0.2], [1.2, 0.8]], dtype=torch.float64)


@cache
def ackley_rosenbrock_minima() -> Tensor:
    return grid_minima(ackley_rosenbrock, (-5, 5), 2)


def lowest(function: Callable[[Tensor], Tensor], points: Tensor) -> tuple[float, ...]:
    return tuple(points[function(points).argmin()].tolist())
