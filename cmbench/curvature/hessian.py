"""Hessian-vector products of a loss over a fixed set of batches, and the largest eigenvalue found with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor, nn


@dataclass(frozen=True)
class Eigenvalue:
    """An eigenvalue as an iteration found it: `residual` is ‖Hv − λv‖₂ / |λ| for the unit vector v it ended with."""

    value: float
    residual: float
    converged: bool
    products: int


class Hessian:
    """The Hessian H of the mean loss at the model's parameters, as an operator.

    H v = ∇(∇L · v) by two backward passes, summed over the batches with their weights.

    Args:
        model: its parameters that require a gradient are the n variables, in order, flattened.
        loss: mean loss of the model on a batch.
        batches: the batches, each with its weight (its share of the examples; the weights sum to 1).
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[nn.Module, Any], Tensor],
        batches: Sequence[tuple[Any, float]],
    ) -> None:
        self._model, self._loss, self._batches = model, loss, batches
        self._params = [p for p in model.parameters() if p.requires_grad]
        self.size = sum(p.numel() for p in self._params)

    def matvec(self, vector: Tensor) -> Tensor:
        """H v for `vector` (n,); the result is (n,) on the same device and of the same dtype."""
        parts = torch.split(vector.to(self._params[0]), [p.numel() for p in self._params])
        direction = [part.view_as(p) for part, p in zip(parts, self._params, strict=True)]
        total = torch.zeros(self.size, dtype=self._params[0].dtype, device=self._params[0].device)
        for batch, weight in self._batches:
            gradient = torch.autograd.grad(self._loss(self._model, batch), self._params, create_graph=True)
            slope: Any = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
            # A linear output layer leaves no graph behind some gradients; their second derivative is zero.
            product = torch.autograd.grad(slope, self._params, materialize_grads=True)
            total += weight * torch.cat([p.flatten() for p in product])
        return total.to(vector)


def top_eigenvalue(
    hessian: Hessian,
    *,
    iterations: int = 200,
    tolerance: float = 1e-3,
    seed: int = 0,
    product_done: Callable[[], None] = lambda: None,
) -> Eigenvalue:
    """The algebraically largest eigenvalue of `hessian`, by restarted Lanczos (ARPACK).

    Stops at relative accuracy `tolerance`, or unconverged after `iterations` restarts; the residual is computed anew
    from the vector it ended with.
    """
    products = 0

    def matvec(vector: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        product_done()
        return hessian.matvec(torch.from_numpy(np.ravel(vector))).numpy()

    n = hessian.size
    if n < 3:  # ARPACK needs more dimensions than eigenvalues to work with
        dense = np.stack([matvec(row) for row in np.eye(n)])
        values, vectors = np.linalg.eigh((dense + dense.T) / 2)
    else:
        operator = LinearOperator((n, n), matvec=matvec, dtype=np.float64)
        start = np.random.default_rng(seed).normal(size=n)
        try:
            values, vectors = eigsh(operator, k=1, which="LA", v0=start, maxiter=iterations, tol=tolerance)
        except ArpackNoConvergence:
            values = np.array([])
    if not len(values):
        return Eigenvalue(float("nan"), float("nan"), False, products)
    value, vector = float(values[-1]), vectors[:, -1]
    residual = float(np.linalg.norm(matvec(vector) - value * vector) / max(abs(value), np.finfo(float).tiny))
    return Eigenvalue(value, residual, residual <= max(10 * tolerance, 1e-6), products)


def weighted(batches: Iterable[Any], size: Callable[[Any], int]) -> list[tuple[Any, float]]:
    """`batches` with their shares of all examples, where `size` counts those of one."""
    kept = list(batches)
    total = sum(size(batch) for batch in kept)
    return [(batch, size(batch) / total) for batch in kept]
