"""A surface as a plain function of numpy arrays, for those who only look at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from cmbench.landscapes.surfaces import get_surface
from cmbench.optim.threads import few_threads

Point = tuple[float, ...]


def as_numpy(settings: Mapping[str, Any]) -> tuple[Callable[[np.ndarray], np.ndarray], Point | None, tuple[Point, ...]]:
    """The surface that a result's settings name, as a function of x (..., D) that returns (...), and its minima.

    The parameters `sharpness` and `spectrum` are those of the settings. The minima are one point of the lowest value,
    None where it is not known, and the others of that value where all are known. Raises `UserError` for a surface that
    cannot be found.
    """
    surface = get_surface(settings["surface"])
    bound = {name: torch.tensor(settings[name], dtype=torch.float64) for name in surface.parameters}

    @torch.no_grad()
    def function(x: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64)).flatten(0, -2)
        with few_threads(0):  # a figure has many of them, and each is small
            return surface.function(rows, **bound).reshape(x.shape[:-1]).numpy()

    minimum = surface.global_minimum(settings["dim"]) if surface.global_minimum else None
    if minimum is None or surface.minima is None:
        return function, minimum, ()
    lowest = float(function(np.array(minimum)[None])[0])
    others = [tuple(point) for point in surface.minima().tolist() if not np.allclose(point, minimum, atol=1e-6)]
    return function, minimum, tuple(point for point in others if function(np.array(point)[None])[0] <= lowest + 1e-9)
