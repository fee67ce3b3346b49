"""The analytic surfaces: their formulas, and a registry of what is known about each.

A surface is a function of `x` with shape (..., D), float64, that returns (...): the leading dimensions are independent
points, and nothing may be reduced over them. Gradients and Hessians come from autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from cmbench.errors import UserError, unknown
from cmbench.landscapes.stationary import grid_minima, polish
from cmbench.plugins.resolve import FORMS, entry_points, find, is_outside

Function = Callable[..., Tensor]
PARAMETERS = ("sharpness", "spectrum")


def ackley(x: Tensor) -> Tensor:
    """f(x) = −20·exp(−0.2·√(mean x²)) − exp(mean cos 2πx) + e + 20, for any D.

    A nearly flat outside with a dent at every lattice point, and a hole at the origin, the global minimum f = 0, where
    the function has a cone's tip: its second derivatives grow without bound towards it.
    Source: Ackley 1987; the paper's Eq. 11 is D = 2.
    """
    distance = torch.linalg.vector_norm(x, dim=-1) / x.shape[-1] ** 0.5
    waves = torch.cos(2 * torch.pi * x).mean(-1)
    return -20 * torch.exp(-0.2 * distance) - torch.exp(waves) + torch.e + 20


def goldstein_price(x: Tensor) -> Tensor:
    """f(x, y) = (log(A·B) − 8.693) / 2.427, with

    A = 1 + (x + y + 1)²·(19 − 14x + 3x² − 14y + 6xy + 3y²),
    B = 30 + (2x − 3y)²·(18 − 32x + 12x² + 48y − 36xy + 27y²)

    The logarithmic form of Picheny et al. 2013, on unscaled coordinates. The paper's Eq. 12 moves −8.693 into the
    second bracket, where the logarithm would be undefined on part of the plane. Global minimum f(0, −1) = −3.129
    (the paper prints [0, 1]).
    """
    x, y = x.unbind(-1)
    a = 1 + (x + y + 1).square() * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)
    b = 30 + (2 * x - 3 * y).square() * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    return (torch.log(a * b) - 8.693) / 2.427


def levy(x: Tensor) -> Tensor:
    """f(x) = sin²(πw₁) + Σ_{i<D} (wᵢ−1)²·[1 + 10·sin²(πwᵢ + 1)] + (w_D−1)²·[1 + sin²(2πw_D)], wᵢ = 1 + (xᵢ−1)/4.

    For any D; a sum over coordinates, with the global minimum f(1, …, 1) = 0. Source: Laguna & Martí 2005; the
    paper's Eq. 13 prints w without the index 1 in the first term.
    """
    w = 1 + (x - 1) / 4
    first, inner, last = w[..., 0], w[..., :-1], w[..., -1]
    return (
        torch.sin(torch.pi * first).square()
        + ((inner - 1).square() * (1 + 10 * torch.sin(torch.pi * inner + 1).square())).sum(-1)
        + (last - 1).square() * (1 + torch.sin(2 * torch.pi * last).square())
    )


def ackley_rosenbrock(x: Tensor) -> Tensor:
    """f(x, y) = 0.05·(1−x)² + 0.05·(y−x²)² + 0.6·[exp(−0.2·√((x²+y²)/2)) − exp((cos 2πx + cos 2πy)/2) + e].

    Rosenbrock's curved valley with a dent at every lattice point. Source: the paper's Eq. 14.
    """
    x, y = x.unbind(-1)
    radius = torch.exp(-0.2 * torch.sqrt(0.5 * (x**2 + y**2)))
    waves = torch.exp(0.5 * (torch.cos(2 * torch.pi * x) + torch.cos(2 * torch.pi * y)))
    return 0.05 * (1 - x).square() + 0.05 * (y - x**2).square() + 0.6 * (radius - waves + torch.e)


def sharp_flat(x: Tensor, sharpness: Tensor | float) -> Tensor:
    """f_s(x) = Σ_d min(x_d², s·(x_d − 1)²), for any D and s > 1.

    The coefficient s, `sharpness`, is a number, or has the shape of the leading dimensions: one for each point. Each
    coordinate has a flat minimum at 0 (curvature 2) and a sharp one at 1 (curvature 2s), so that there are 2^D minima,
    all of value 0; the paper names the two where every coordinate agrees. Source: the paper's Eq. 9.
    """
    # Which branch is the smaller one needs no gradient; differentiating torch.minimum would cost a quarter more.
    point = x.detach()
    coefficient = torch.as_tensor(sharpness, dtype=x.dtype, device=x.device).unsqueeze(-1)
    sharp = coefficient * (point - 1).square() < point.square()
    return (torch.where(sharp, coefficient, 1.0) * (x - sharp.to(x.dtype)).square()).sum(-1)


def quadratic(x: Tensor, spectrum: Tensor) -> Tensor:
    """f(x) = ½·Σ_d h_d·x_d² with the eigenvalues h = `spectrum`, shape (D,); the minimum is the origin."""
    return 0.5 * (spectrum * x.square()).sum(-1)


def _among(points: Callable[[], Tensor]) -> Callable[[Tensor], Tensor]:
    """Maps every x to the nearest of `points` (M, D)."""

    def nearest(x: Tensor) -> Tensor:
        known = points().to(x)
        return known[torch.cdist(x.flatten(0, -2), known).argmin(-1)].reshape(x.shape)

    return nearest


def _nearest_number(x: Tensor, numbers: Tensor) -> Tensor:
    numbers = numbers.flatten().to(x)
    return numbers[(x.unsqueeze(-1) - numbers).abs().argmin(-1)]


def _ackley_nearest(x: Tensor) -> Tensor:
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


def _levy_nearest(x: Tensor) -> Tensor:
    first, inner, last = _levy_lines()
    dim = x.shape[-1]
    if dim == 1:  # the first coordinate is the last one too
        return _nearest_number(x, grid_minima(levy, (-20, 20), 1))
    lines = [first, *[inner] * (dim - 2), last]
    return torch.stack([_nearest_number(x[..., d], lines[d]) for d in range(dim)], -1)


def _goldstein_price_minima() -> Tensor:
    return torch.tensor([[0, -1], [-0.6, -0.4], [1.8, 0.2], [1.2, 0.8]], dtype=torch.float64)


@cache
def _ackley_rosenbrock_minima() -> Tensor:
    return grid_minima(ackley_rosenbrock, (-5, 5), 2)


def _lowest(function: Function, points: Tensor) -> tuple[float, ...]:
    return tuple(points[function(points).argmin()].tolist())


@dataclass(frozen=True)
class Surface:
    """A surface and what is known about it.

    `domain` is the customary range of every coordinate, None if there is none. `dim` is the only number of coordinates
    it has, None if any. `parameters` are the settings that the function takes beside x. `nearest_minimum` maps x (L, D)
    to the nearest known minimum (L, D), and `global_minimum` a D to one point of the lowest value; None where nothing
    is known. `minima` (M, D) are all of them, where they are few enough to be printed below a table.
    """

    name: str
    function: Function
    domain: tuple[float, float] | None
    dim: int | None = None
    parameters: tuple[str, ...] = ()
    global_minimum: Callable[[int], tuple[float, ...]] | None = None
    nearest_minimum: Callable[[Tensor], Tensor] | None = None
    minima: Callable[[], Tensor] | None = None
    version: int = 1
    """Counts the changes to the function and to what is known of it."""
    source: str = ""
    """What stands for the code of a surface that is not registered here."""

    @property
    def identity(self) -> str:
        """What enters the identity of every run on it: `vVERSION`, after its source."""
        return f"{self.source}.v{self.version}" if self.source else f"v{self.version}"


SURFACES = {
    surface.name: surface
    for surface in (
        Surface(
            "ackley",
            ackley,
            (-32.768, 32.768),
            global_minimum=lambda dim: (0.0,) * dim,
            nearest_minimum=_ackley_nearest,
        ),
        Surface(
            "goldstein_price",
            goldstein_price,
            (-2, 2),
            dim=2,
            global_minimum=lambda dim: (0.0, -1.0),
            nearest_minimum=_among(_goldstein_price_minima),
            minima=_goldstein_price_minima,
        ),
        Surface(
            "levy",
            levy,
            (-10, 10),
            global_minimum=lambda dim: (1.0,) * dim,
            nearest_minimum=_levy_nearest,
        ),
        Surface(
            "ackley_rosenbrock",
            ackley_rosenbrock,
            (-5, 5),
            dim=2,
            global_minimum=lambda dim: _lowest(ackley_rosenbrock, _ackley_rosenbrock_minima()),
            nearest_minimum=_among(_ackley_rosenbrock_minima),
        ),
        Surface(
            "sharp_flat",
            sharp_flat,
            (-5, 5),
            parameters=("sharpness",),
            global_minimum=lambda dim: (0.0,) * dim,
            nearest_minimum=lambda x: (x > 0.5).to(x),
        ),
        Surface(
            "quadratic",
            quadratic,
            (-1, 1),
            parameters=("spectrum",),
            global_minimum=lambda dim: (0.0,) * dim,
            nearest_minimum=torch.zeros_like,
        ),
    )
}


def get_surface(name: str, where: str = "surface") -> Surface:
    """The registered surface called `name`, or somebody else's: `module:function`, `./file.py:function`, or registered.

    What a name stands for is a function, which then has no customary domain, or a `Surface`. Raises `UserError` that
    begins with `where`.
    """
    if name in SURFACES:
        return SURFACES[name]
    if not is_outside(name, "surfaces"):
        raise unknown("surface", name, [*SURFACES, *entry_points("surfaces"), *FORMS], where)
    found = find(name, "surfaces", where)
    if isinstance(found.value, Surface):
        return replace(found.value, name=name, source=found.source)
    if not callable(found.value):
        what = type(found.value).__name__
        raise UserError(f"{where}: '{name}' is {what}; accepted: a function of x (..., D), or a Surface")
    return Surface(name, found.value, None, source=found.source)
