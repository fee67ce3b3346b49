"""When a run on the sharp/flat function (Eq. 9) has escaped from its sharp minimum."""

from __future__ import annotations

from torch import Tensor

NEAR = 0.1
"""How close to the flat minimum every coordinate has to be where it is reached."""


def escaped_all(x: Tensor, coefficient: Tensor | float) -> Tensor:
    """Whether every coordinate lies in the flat basin, x_d² < s·(x_d − 1)²; `x` (L, D), `coefficient` s () or (L,)."""
    sharp = coefficient.unsqueeze(-1) if isinstance(coefficient, Tensor) else coefficient
    return (x.square() < sharp * (x - 1).square()).all(-1)


def escaped_nearer(x: Tensor) -> Tensor:
    """Whether `x` (L, D) is nearer to the flat minimum, the origin, than to the sharp one, (1, …, 1)."""
    return x.square().sum(-1) < (x - 1).square().sum(-1)


def escaped_reached(x: Tensor) -> Tensor:
    """Whether `x` (L, D) is at the flat minimum, the origin: every coordinate within 0.1 of it.

    What the paper counts in Figure 7, where the optimizer "reaches the minima at x = 0": a run that still goes back and
    forth over the basin has left the sharp minimum, and has reached nothing.
    """
    return (x.abs() < NEAR).all(-1)
