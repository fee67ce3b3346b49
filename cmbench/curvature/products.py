"""Hessian-vector products of a loss over a fixed set of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Loss = Callable[[nn.Module, Any], Tensor]
"""Mean loss of a model on a batch."""
Batches = Sequence[tuple[Any, float]]
"""Batches, each with its weight: its share of the examples."""


class Hessian:
    """The Hessian H of the mean loss at the model's parameters, as an operator.

    H v = ∇(∇L · v) by two backward passes (Pearlmutter 1994), summed over the batches with their weights. A parameter
    that the loss does not depend on has zero rows and columns.

    Args:
        model: its parameters that require a gradient are the n variables, in order, flattened. It is used in the mode
            (training or evaluation) that it is in.
        loss: mean loss of the model on a batch.
        batches: the batches, each with its weight (its share of the examples; the weights sum to 1). Of several
            processes, those of this one.
        all_reduce: the sum over the processes of the products of each.
        keep: whether the gradients of all batches stay in memory for every product, with what it takes to differentiate
            them: that takes less than half of the time, and the memory of all batches together.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        batches: Batches,
        all_reduce: Callable[[Tensor], Tensor] = lambda product: product,
        *,
        keep: bool = False,
    ) -> None:
        self._model, self._loss, self._batches, self._all_reduce = model, loss, batches, all_reduce
        self._kept: list[Sequence[Tensor]] | None = [] if keep else None
        self._params = [p for p in model.parameters() if p.requires_grad]
        self.size = sum(p.numel() for p in self._params)
        self.products = 0

    @property
    def like(self) -> Tensor:
        """A parameter, for the device and the dtype of vectors."""
        return self._params[0]

    def matvec(self, vector: Tensor) -> Tensor:
        """H v for `vector` (n,); the result is (n,), of the parameters' device and dtype."""
        direction = in_shapes(vector.to(self.like), self._params)
        total = self.like.detach().new_zeros(self.size)
        for gradient, (_, weight) in zip(self._gradients(), self._batches, strict=True):
            # A linear output layer leaves no graph behind some gradients; their second derivative is zero.
            reached = [(g, d) for g, d in zip(gradient, direction, strict=True) if g.requires_grad]
            if not reached:
                continue
            gradients, directions = zip(*reached, strict=True)
            product = torch.autograd.grad(
                gradients, self._params, directions, retain_graph=self._kept is not None, materialize_grads=True
            )
            total += weight * torch.cat([p.flatten() for p in product])
        self.products += 1
        return self._all_reduce(total)

    def _gradients(self) -> Iterable[Sequence[Tensor]]:
        """Those of the batches, one after the other."""
        if self._kept is None:
            return (self._gradient(batch) for batch, _ in self._batches)
        if not self._kept:
            self._kept = [self._gradient(batch) for batch, _ in self._batches]
        return self._kept

    def _gradient(self, batch: Any) -> Sequence[Tensor]:
        with twice_differentiable():
            return torch.autograd.grad(
                self._loss(self._model, batch), self._params, create_graph=True, materialize_grads=True
            )


def in_shapes(vector: Tensor, params: Sequence[Tensor]) -> list[Tensor]:
    """The parts of `vector` (n,) in the shapes of the parameters."""
    parts = torch.split(vector, [p.numel() for p in params])
    return [part.view_as(p) for part, p in zip(parts, params, strict=True)]


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Attention and recurrent layers by kernels that have a second derivative: torch's fast ones have none."""
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        yield


def weighted(batches: Iterable[Any], size: Callable[[Any], int]) -> list[tuple[Any, float]]:
    """`batches` with their shares of all examples, where `size` counts those of one."""
    kept = list(batches)
    total = sum(size(batch) for batch in kept)
    return [(batch, size(batch) / total) for batch in kept]
