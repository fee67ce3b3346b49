"""The analytic surfaces by name, and what is known about each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cmbench.errors import UserError, unknown
from cmbench.landscapes import functions, gradients, minima
from cmbench.plugins.resolve import FORMS, entry_points, find, is_outside

Function = Callable[..., Tensor]
PARAMETERS = ("sharpness", "spectrum")


@dataclass(frozen=True)
class Surface:
    """A surface and what is known about it.

    `domain` is the customary range of every coordinate, None if there is none. `dim` is the only number of coordinates
    it has, None if any. `parameters` are the settings that the function takes beside x. `nearest_minimum` maps x (L, D)
    to the nearest known minimum (L, D), and `global_minimum` a D to one point of the lowest value; None where nothing
    is known. `minima` (M, D) are all of them, where they are few enough to be printed below a table. `has_one_lowest`
    says that no other point has the value of `global_minimum`: far from it, nobody needs to ask what the nearest is.
    `slope` returns the values and the gradients that autograd would make of `function`, where it is quicker.
    """

    name: str
    function: Function
    domain: tuple[float, float] | None
    dim: int | None = None
    parameters: tuple[str, ...] = ()
    global_minimum: Callable[[int], tuple[float, ...]] | None = None
    nearest_minimum: Callable[[Tensor], Tensor] | None = None
    minima: Callable[[], Tensor] | None = None
    has_one_lowest: bool = False
    slope: Callable[..., tuple[Tensor, Tensor]] | None = None
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
            functions.ackley,
            (-32.768, 32.768),
            global_minimum=lambda dim: (0.0,) * dim,
            nearest_minimum=minima.ackley_nearest,
            has_one_lowest=True,
            slope=gradients.ackley,
        ),
        Surface(
            "goldstein_price",
            functions.goldstein_price,
            (-2, 2),
            dim=2,
            global_minimum=lambda dim: (0.0, -1.0),
            nearest_minimum=minima.among(minima.goldstein_price_minima),
            minima=minima.goldstein_price_minima,
            has_one_lowest=True,
            slope=gradients.goldstein_price,
        ),
        Surface(
            "levy",
            functions.levy,
            (-10, 10),
            global_minimum=lambda dim: (1.0,) * dim,
            nearest_minimum=minima.levy_nearest,
            has_one_lowest=True,
            slope=gradients.levy,
        ),
        Surface(
            "ackley_rosenbrock",
            functions.ackley_rosenbrock,
            (-5, 5),
            dim=2,
            global_minimum=lambda dim: minima.lowest(functions.ackley_rosenbrock, minima.ackley_rosenbrock_minima()),
            nearest_minimum=minima.among(minima.ackley_rosenbrock_minima),
            has_one_lowest=True,
            slope=gradients.ackley_rosenbrock,
        ),
        Surface(
            "sharp_flat",
            functions.sharp_flat,
            (-5, 5),
            parameters=("sharpness",),
            global_minimum=lambda dim: (0.0,) * dim,
            nearest_minimum=lambda x: (x > 0.5).to(x),
            slope=gradients.sharp_flat,
        ),
        Surface(
            "quadratic",
            functions.quadratic,
            (-1, 1),
            parameters=("spectrum",),
            global_minimum=lambda dim: (0.0,) * dim,
            nearest_minimum=torch.zeros_like,
            has_one_lowest=True,
        ),
        Surface(
            "rastrigin",
            functions.rastrigin,
            (-5.12, 5.12),
            global_minimum=lambda dim: (0.0,) * dim,
            nearest_minimum=minima.rastrigin_nearest,
            has_one_lowest=True,
        ),
        Surface(
            "rosenbrock",
            functions.rosenbrock,
            (-2, 2),
            dim=2,
            global_minimum=lambda dim: (1.0, 1.0),
            nearest_minimum=minima.among(minima.rosenbrock_minima),
            minima=minima.rosenbrock_minima,
            has_one_lowest=True,
        ),
        Surface(
            "styblinski_tang",
            functions.styblinski_tang,
            (-5, 5),
            global_minimum=minima.styblinski_tang_lowest,
            nearest_minimum=minima.styblinski_tang_nearest,
            has_one_lowest=True,
        ),
        Surface(
            "griewank",
            functions.griewank,
            (-600, 600),
            global_minimum=lambda dim: (0.0,) * dim,
            nearest_minimum=minima.griewank_nearest,
            has_one_lowest=True,
        ),
        Surface(
            "schaffer_2",
            functions.schaffer_2,
            (-100, 100),
            dim=2,
            global_minimum=lambda dim: (0.0, 0.0),
            nearest_minimum=minima.schaffer_2_nearest,
            has_one_lowest=True,
        ),
        Surface(
            "himmelblau",
            functions.himmelblau,
            (-5, 5),
            dim=2,
            global_minimum=lambda dim: (3.0, 2.0),
            nearest_minimum=minima.among(minima.himmelblau_minima),
            minima=minima.himmelblau_minima,
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
