"""The loss on a line or in a plane of the space of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cmbench.curvature.products import Batches, Loss

Tensors = Sequence[Tensor]
_MARGIN = 0.25
"""What a plane shows on each side of its triangle, as a share of that one's width or height."""
_FLAT = 1e-5
"""A triangle that is lower than this share of its base is taken for a line: what is left is rounding."""


def weights_of(model: nn.Module) -> list[Tensor]:
    """What makes up a solution: the parameters and, behind them, the buffers of floats (running statistics)."""
    return [*model.parameters(), *(buffer for buffer in model.buffers() if buffer.is_floating_point())]


def combined_losses(
    model: nn.Module,
    loss: Loss,
    batches: Batches,
    moved: Tensors,
    parts: Sequence[Tensors],
    coefficients: Sequence[Sequence[float]],
    *,
    moved_to: Callable[[], None] = lambda: None,
    loss_done: Callable[[], None] = lambda: None,
) -> list[float]:
    """L(Σ_k c_k·w_k) for each row c of `coefficients` (N, K); the result has N numbers, finite or not.

    Args:
        model: it is used in the mode that it is in, and left as it was, bit for bit.
        loss: mean loss of the model on a batch.
        batches: the batches, each with its weight (the weights sum to 1).
        moved: the model's tensors that are set to the combinations.
        parts: the K points or directions w_k, each a list of tensors like `moved`. What has the coefficient 0 is left
            out, and what stands alone with 1 is taken as it is.
        moved_to: called at every point, before the loss is computed.
        loss_done: called after every loss.
    """
    origin = [tensor.detach().clone() for tensor in moved]
    found = []
    try:
        for row in coefficients:
            with torch.no_grad():
                _set(moved, [(part, c) for part, c in zip(parts, row, strict=True) if c])
                moved_to()
                found.append(sum(weight * loss(model, batch).item() for batch, weight in batches))
            loss_done()
    finally:
        with torch.no_grad():
            _set(moved, [(origin, 1.0)])
    return found


def _set(moved: Tensors, terms: Sequence[tuple[Tensors, float]]) -> None:
    (first, share), *others = terms
    for i, tensor in enumerate(moved):
        tensor.copy_(first[i]).mul_(share)
        for part, coefficient in others:
            tensor.add_(part[i], alpha=coefficient)


@dataclass(frozen=True)
class Grid:
    """Points x (P,) on a line, or, with y (P,), the points (x_i, y_j) of a plane, row by row: x_0 y_0, x_1 y_0, …"""

    x: np.ndarray
    y: np.ndarray | None = None

    @property
    def points(self) -> list[tuple[float, ...]]:
        """The coordinates of every point."""
        if self.y is None:
            return [(x,) for x in self.x.tolist()]
        return [(x, y) for y in self.y.tolist() for x in self.x.tolist()]

    @property
    def curves(self) -> dict[str, list[float]]:
        """The axes by their names."""
        return {"x": self.x.tolist()} | ({} if self.y is None else {"y": self.y.tolist()})


def around(reach: float, points: int, dimensions: int) -> Grid:
    """`points` (an odd number) per axis from −reach to reach, 0 among them."""
    half = points // 2
    axis = reach * np.arange(-half, half + 1) / half
    return Grid(axis, axis if dimensions > 1 else None)


def along(points: int) -> Grid:
    """t in [−0.5, 1.5], `points` (4k + 1) of them: 0 and 1 are among them."""
    quarter = points // 4
    return Grid(np.arange(-quarter, 3 * quarter + 1) / (2 * quarter))


def second_difference(values: Sequence[float], step: float) -> float:
    """L″ in the middle of `values`, an odd number of them, by the innermost five: exact for polynomials of degree 5."""
    middle = len(values) // 2
    five = values[middle - 2 : middle + 3]
    return sum(c * value for c, value in zip((-1, 16, -30, 16, -1), five, strict=True)) / (12 * step**2)


def heights_over_chord(t: Sequence[float], losses: Sequence[float]) -> list[float]:
    """L(t) − ((1 − t)·L(0) + t·L(1)) of those `t` that lie in [0, 1], 0 and 1 among them.

    The largest is the error barrier (Frankle et al. 2020).
    """
    inner = [(place, value) for place, value in zip(t, losses, strict=True) if 0 <= place <= 1]
    first, last = inner[0][1], inner[-1][1]
    return [value - ((1 - place) * first + place * last) for place, value in inner]


def distance(a: Tensors, b: Tensors) -> float:
    """‖a − b‖₂ over all tensors together, in float64."""
    return math.sqrt(sum(((p.double() - q.double()) ** 2).sum().item() for p, q in zip(a, b, strict=True)))


@dataclass(frozen=True)
class Triangle:
    """Three solutions in the plane through them, in units of the weights: at (0, 0), (base, 0) and (x, y), y > 0.

    Source: Garipov et al. 2018.
    """

    base: float
    x: float
    y: float

    @classmethod
    def of(cls, a: Tensors, b: Tensors, c: Tensors) -> Triangle:
        """Raises `ValueError` where the three lie on one line, on one point, or at no finite numbers."""
        ab, ac, bc = distance(a, b), distance(a, c), distance(b, c)
        if not math.isfinite(ab + ac + bc):
            raise ValueError("the weights are no finite numbers")
        x = (ab**2 + ac**2 - bc**2) / (2 * ab) if ab else 0.0
        square = ac**2 - x**2
        if not (ab and square > (_FLAT * ab) ** 2):
            raise ValueError("the three solutions lie on one line: there is no one plane through them")
        return cls(ab, x, math.sqrt(square))

    @property
    def corners(self) -> tuple[list[float], list[float]]:
        """The coordinates x (3,) and y (3,) of the solutions."""
        return [0.0, self.base, self.x], [0.0, 0.0, self.y]

    def grid(self, points: int) -> Grid:
        """`points` per axis of a square around the three, as wide as they are and a quarter more on each side."""
        low, high = (np.array([f(values) for values in self.corners]) for f in (min, max))
        middle, half = (low + high) / 2, (high - low).max() * (0.5 + _MARGIN)
        return Grid(*(np.linspace(centre - half, centre + half, points) for centre in middle))

    def shares(self, x: float, y: float) -> tuple[float, float, float]:
        """The coefficients of the three solutions, which sum to 1, at the point (x, y)."""
        third = y / self.y
        second = (x - third * self.x) / self.base
        return 1 - second - third, second, third
