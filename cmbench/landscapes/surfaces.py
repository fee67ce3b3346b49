"""The analytic surfaces by name, and what is known about each."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from cmbench.errors import UserError, unknown
from cmbench.landscapes.functions import ackley, ackley_rosenbrock, goldstein_price, levy, quadratic, sharp_flat
from cmbench.landscapes.minima import (
    ackley_nearest,
    ackley_rosenbrock_minima,
    among,
    goldstein_price_minima,
    levy_nearest,
    lowest,
)

Function = Callable[..., Tensor]
PARAMETERS = ("sharpness", "spectrum")


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
    """SHA-256 of the file that defines a user's own surface."""

    @property
    def identity(self) -> str:
        """What enters the identity of every run on it: `vVERSION`, after the hash of a file of the user's."""
        return f"{self.source}.v{self.version}" if self.source else f"v{self.version}"


SURFACES = {
    surface.name: surface
    for surface in (
        Surface(
            "ackley",
            ackley,
            (-32.768, 32.768),
            global_minimum=lambda dim: (0.0,) * dim,
            nearest_minimum=ackley_nearest,
        ),
        Surface(
            "goldstein_price",
            goldstein_price,
            (-2, 2),
            dim=2,
            global_minimum=lambda dim: (0.0, -1.0),
            nearest_minimum=among(goldstein_price_minima),
            minima=goldstein_price_minima,
        ),
        Surface(
            "levy",
            levy,
            (-10, 10),
            global_minimum=lambda dim: (1.0,) * dim,
            nearest_minimum=levy_nearest,
        ),
        Surface(
            "ackley_rosenbrock",
            ackley_rosenbrock,
            (-5, 5),
            dim=2,
            global_minimum=lambda dim: lowest(ackley_rosenbrock, ackley_rosenbrock_minima()),
            nearest_minimum=among(ackley_rosenbrock_minima),
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
    """The registered surface called `name`, or the user's own for `module:function`.

    The module is looked for in the current folder too. What it names is a function, which then has no customary
    domain, or a `Surface`. Raises `UserError` that begins with `where`.
    """
    if ":" not in name:
        if name not in SURFACES:
            raise unknown("surface", name, [*SURFACES, "module:function"], where)
        return SURFACES[name]
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), attribute)
        source = hashlib.sha256(Path(inspect.getfile(sys.modules[module_name])).read_bytes()).hexdigest()
    except Exception as error:  # a module of the user's may raise anything
        raise UserError(f"{where}: '{name}' cannot be imported: {type(error).__name__}: {error}") from None
    if isinstance(found, Surface):
        return replace(found, name=name, source=source)
    if not callable(found):
        raise UserError(
            f"{where}: '{name}' is {type(found).__name__}; accepted: a function of x (..., D), or a Surface"
        )
    return Surface(name, found, None, source=source)
