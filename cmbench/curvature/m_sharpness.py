"""m-sharpness: how much the loss of a small batch rises within a ball around the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def m_sharpness(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    batches: Sequence[tuple[Any, float]],
    radius: float = 0.05,
) -> float:
    """The mean over batches of max_{‖ε‖₂ ≤ r} L(θ + ε) − L(θ), each batch with its own ε (the paper's Eq. 15).

    As in Foret et al. (2021, section 4.1), ε = r·∇L/‖∇L‖₂ stands for the maximiser: exact to first order in r.

    Args:
        model: θ are its parameters that require a gradient; they are left as they were, bit for bit.
        loss: mean loss of the model on a batch of m examples.
        batches: the batches, each with its weight (the weights sum to 1).
        radius: r > 0.
    """
    params = [p for p in model.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in params]
    total: Any = 0.0
    try:
        for batch, weight in batches:
            value = loss(model, batch)
            gradient = torch.autograd.grad(value, params, materialize_grads=True)
            norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradient]))
            length = torch.where(norm > 0, radius / norm, 0.0)
            with torch.no_grad():
                for p, g in zip(params, gradient, strict=True):
                    p.add_(g * length)
                total = total + weight * (loss(model, batch) - value)
                for p, origin in zip(params, before, strict=True):
                    p.copy_(origin)
    finally:
        with torch.no_grad():
            for p, origin in zip(params, before, strict=True):
                p.copy_(origin)
    return float(total)
