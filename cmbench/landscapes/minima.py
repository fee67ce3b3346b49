"""Where the minima of the surfaces are: the nearest one to a point, or all of them where they are few."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from cmbench.landscapes.functions import (
    ackley,
    ackley_rosenbrock,
    griewank,
    himmelblau,
    levy,
    rastrigin,
    schaffer_2,
    styblinski_tang,
)
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
    found, is_away = torch.zeros_like(lattice), (lattice != 0).any(-1)
    if is_away.any():  # at the origin is the tip, where Newton's method has no curvature to go by
        found[is_away] = polish(ackley, lattice[is_away])
    return found[which]


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


@cache
def _on_a_line(function: Callable[[Tensor], Tensor], domain: tuple[float, float]) -> Tensor:
    return grid_minima(function, domain, 1)


def rastrigin_nearest(x: Tensor) -> Tensor:
    """Coordinate by coordinate, of which the function is the sum; beyond ±31.4 it has no minima."""
    return _nearest_number(x, _on_a_line(rastrigin, (-33, 33)))


def styblinski_tang_nearest(x: Tensor) -> Tensor:
    """Coordinate by coordinate, of which the function is the sum."""
    return _nearest_number(x, _on_a_line(styblinski_tang, (-5, 5)))


def styblinski_tang_lowest(dim: int) -> tuple[float, ...]:
    return lowest(styblinski_tang, _on_a_line(styblinski_tang, (-5, 5))) * dim


def rosenbrock_minima() -> Tensor:
    return torch.ones(1, 2, dtype=torch.float64)


@cache
def himmelblau_minima() -> Tensor:
    return grid_minima(himmelblau, (-5, 5), 2)


def griewank_nearest(x: Tensor) -> Tensor:
    """Near x_d = √d·π·k_d with an even Σk there is a minimum, which the bowl draws to the origin by d·x_d/2000."""
    number = torch.arange(1, x.shape[-1] + 1).to(x)
    spacing, pull = number.sqrt() * torch.pi, 1 + number / 2000
    wanted = x * pull / spacing
    k = wanted.round()
    # Where Σk is odd, the coordinate for which the second nearest integer is the least detour takes that.
    detour = spacing.square() * (1 - 2 * (wanted - k).abs())
    other = k + torch.where(wanted < k, -1.0, 1.0)
    is_odd = k.sum(-1, keepdim=True) % 2 == 1
    chosen = torch.zeros_like(k).scatter_(-1, detour.argmin(-1, keepdim=True), 1.0) == 1
    k, which = torch.unique(torch.where(is_odd & chosen, other, k), dim=0, return_inverse=True)
    return polish(griewank, k * spacing / pull)[which]


def schaffer_2_nearest(x: Tensor) -> Tensor:
    """On either axis, near ±√(kπ), there is a minimum, where a valley is closest to the origin."""
    below = (x.square() / torch.pi).floor()
    steps = torch.stack([below, below + 1], -1)
    on_axis = x.sign().unsqueeze(-1) * (steps * torch.pi).sqrt()  # (L, 2, 2): the two on the half of each axis
    gap = (on_axis - x.unsqueeze(-1)).square() + x.flip(-1).square().unsqueeze(-1)
    nearest = gap.flatten(-2).argmin(-1)
    axis, side = nearest // 2, nearest % 2
    begin = torch.zeros_like(x)
    begin.scatter_(-1, axis.unsqueeze(-1), on_axis[torch.arange(len(x)), axis, side].unsqueeze(-1))
    begin, which = torch.unique(begin, dim=0, return_inverse=True)
    return polish(schaffer_2, begin)[which]
