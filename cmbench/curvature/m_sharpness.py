"""m-sharpness: how much the loss of a small batch rises within a ball around the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cmbench.curvature.products import Loss

Maximiser = Literal["ascent", "projected"]
RADIUS = 0.05
ADAPTIVE_RADIUS = 0.5
"""ρ of ASAM (Kwon et al. 2021), whose ball is measured in units of the parameters."""
_MOST_STEPS = 50
_SHORTEST = 1 / 64
"""Of the radius: where shorter steps do not rise either, a maximum is reached."""
_GAIN = 1e-4
"""Projected ascent ends where a step raises the loss by less than this share of its rise."""


@dataclass(frozen=True)
class MSharpness:
    """The mean rise over batches, the largest and the smallest of one, and the gradients and losses that it took."""

    value: float
    largest: float
    smallest: float
    gradients: int
    losses: int


def m_sharpness(
    model: nn.Module,
    loss: Loss,
    batches: Sequence[tuple[Any, float]],
    radius: float | None = None,
    *,
    maximiser: Maximiser = "ascent",
    adaptive: bool = False,
) -> MSharpness:
    """The mean over batches of max_{‖ε‖₂ ≤ r} L(θ + ε) − L(θ), each batch with its own ε (the paper's Eq. 15).

    The maximum is that of `maximiser`:

    - `ascent`: at ε = r·∇L/‖∇L‖₂, exact to first order in r (Foret et al. 2021, section 4.1).
    - `projected`: gradient steps from there, each projected onto the ball, until none raises the loss, and the same
      from the opposite point if that is higher; never below `ascent`.

    With `adaptive`, the ball is ‖ε/|θ|‖₂ ≤ r (Kwon et al. 2021, without the constant that they add to |θ|): rescaling
    weights in a way that leaves the network's function alone does not change it.

    Args:
        model: θ are its parameters that require a gradient; they are left as they were, bit for bit.
        loss: mean loss of the model on a batch of m examples.
        batches: the batches, each with its weight (the weights sum to 1).
        radius: r > 0; 0.05 by default, 0.5 with `adaptive`.
    """
    radius = radius or (ADAPTIVE_RADIUS if adaptive else RADIUS)
    ball = _Ball(model, loss, radius, adaptive)
    try:
        pairs = [(ball.largest_rise(batch, maximiser), weight) for batch, weight in batches]
    finally:
        ball.leave()
    rises = torch.stack([rise for rise, _ in pairs]).tolist()
    value = sum(rise * weight for rise, (_, weight) in zip(rises, pairs, strict=True))
    return MSharpness(value, max(rises), min(rises), ball.gradients, ball.losses)


class _Ball:
    """The points θ + s·u with ‖u‖₂ ≤ r, where the scale s is 1, or |θ|; u is a list of tensors like the parameters."""

    def __init__(self, model: nn.Module, loss: Loss, radius: float, adaptive: bool) -> None:
        self._model, self._loss, self._radius = model, loss, radius
        self._params = [p for p in model.parameters() if p.requires_grad]
        self._centre = [p.detach().clone() for p in self._params]
        self._scale = [p.abs() if adaptive else torch.ones_like(p) for p in self._centre]
        self.gradients = self.losses = 0

    def largest_rise(self, batch: Any, maximiser: Maximiser) -> Tensor:
        """How much the batch's loss rises at the highest point that was found."""
        self.leave()
        base, gradient = self._loss_and_gradient(batch)
        here = self._onto_sphere(gradient)
        rise = self._value(batch, here) - base
        if maximiser == "ascent":
            return rise
        best = self._climb(batch, here, rise, base)
        opposite = [-part for part in here]
        if (other := self._value(batch, opposite) - base) > best:
            best = torch.maximum(best, self._climb(batch, opposite, other, base))
        return best.clamp(min=0)  # the centre is in the ball, too

    def _climb(self, batch: Any, here: list[Tensor], rise: Tensor, base: Tensor) -> Tensor:
        for _ in range(_MOST_STEPS):
            self._move_to(here)
            _, gradient = self._loss_and_gradient(batch)
            uphill = self._onto_sphere(gradient)
            length = 1.0
            while length >= _SHORTEST:
                # The whole step leads to where the gradient points; shorter ones lie between, on the sphere again.
                there = uphill if length == 1 else self._onto_ball(here, uphill, length)
                if (higher := self._value(batch, there) - base) > rise:
                    break
                length /= 2
            else:
                return rise
            gain, rise, here = higher - rise, higher, there
            if gain <= _GAIN * rise.abs():
                return rise
        return rise

    def _loss_and_gradient(self, batch: Any) -> tuple[Tensor, list[Tensor]]:
        """At the parameters as they are; the gradient is that with respect to u."""
        value = self._loss(self._model, batch)
        gradient = torch.autograd.grad(value, self._params, materialize_grads=True)
        self.gradients += 1
        return value.detach(), [g * s for g, s in zip(gradient, self._scale, strict=True)]

    def _value(self, batch: Any, at: list[Tensor]) -> Tensor:
        self._move_to(at)
        self.losses += 1
        with torch.no_grad():
            value: Tensor = self._loss(self._model, batch)
        return value

    def leave(self) -> None:
        """Puts the parameters back to the centre."""
        with torch.no_grad():
            for p, origin in zip(self._params, self._centre, strict=True):
                p.copy_(origin)

    def _move_to(self, at: list[Tensor]) -> None:
        with torch.no_grad():
            for p, origin, u, scale in zip(self._params, self._centre, at, self._scale, strict=True):
                p.copy_(torch.addcmul(origin, u, scale))

    def _onto_sphere(self, direction: list[Tensor]) -> list[Tensor]:
        norm = _norm(direction)
        length = torch.where(norm > 0, self._radius / norm, 0.0)
        return [part * length for part in direction]

    def _onto_ball(self, here: list[Tensor], uphill: list[Tensor], length: float) -> list[Tensor]:
        moved = [a + length * b for a, b in zip(here, uphill, strict=True)]
        shrink = torch.clamp(self._radius / _norm(moved), max=1.0)
        return [part * shrink for part in moved]


def _norm(parts: Sequence[Tensor]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in parts]))
    return norm
