"""A growing Krylov subspace of a symmetric operator, and the operator's projection onto it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Operator(Protocol):
    """A symmetric matrix of which only products with vectors are known."""

    @property
    def size(self) -> int:
        """n, where the matrix is (n, n)."""

    @property
    def like(self) -> Tensor:
        """Any tensor of the device and dtype of its vectors."""

    def matvec(self, vector: Tensor) -> Tensor:
        """Its product with `vector` (n,)."""


@dataclass(frozen=True)
class Ritz:
    """Eigenpairs of the projection, ascending: `values` (k,), `vectors` (k, k) by column, on the CPU in float64.

    `residuals` (k,) are ‖H y − θ y‖₂: within so much of θ lies an eigenvalue of H. `outside` (p, k) are the parts of
    H y along those vectors of the basis that H was not applied to.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    outside: Tensor


class Subspace:
    """An orthonormal basis, to which H was applied or is to be, with the coefficients of every product in it.

    Every product is made orthogonal to the whole basis, twice ("full reorthogonalisation"); what is left, unless it is
    rounding error, is the next vector. Applied to the newest vector again and again, this is Lanczos' iteration.
    It holds at most `room` vectors.
    """

    def __init__(
        self, operator: Operator, room: int, seed: int, product_done: Callable[[], None] = lambda: None
    ) -> None:
        self._operator, self._product_done = operator, product_done
        self._random = torch.Generator().manual_seed(seed)
        self._rows = operator.like.detach().new_empty(min(room, operator.size), operator.size)
        self._count = 0
        self._done: list[int] = []
        self._coefficients = torch.zeros(0, 0, dtype=torch.float64)
        self.products = 0

    @property
    def rounding(self) -> float:
        """What of a product is rounding error: ε·√n·‖H‖, by the largest coefficient so far."""
        largest = self._coefficients.abs().max().item() if self._coefficients.numel() else 0.0
        return torch.finfo(self._operator.like.dtype).eps * math.sqrt(self._operator.size) * largest

    @property
    def is_whole(self) -> bool:
        """Whether H was applied to as many vectors as there are dimensions."""
        return len(self._done) == self._operator.size

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another vector, though there are others."""
        return self._count == len(self._rows) < self._operator.size

    @property
    def pending(self) -> list[int]:
        """The vectors of the basis that H was not applied to, the newest last."""
        return [i for i in range(self._count) if i not in self._done]

    @property
    def is_finite(self) -> bool:
        """Whether every coefficient is a number."""
        return bool(self._coefficients.isfinite().all())

    def begin(self, start: Tensor | None = None) -> bool:
        """Adds a random vector, or `start` (n,); False where no vector is left."""
        for _ in range(3):
            drawn = torch.randn(self._operator.size, generator=self._random, dtype=torch.float64)
            vector, start = (drawn if start is None else start), None
            vector = vector.to(self._operator.like)
            if self._add(vector / torch.linalg.vector_norm(vector), torch.finfo(vector.dtype).eps ** 0.5)[1]:
                return True
        return False

    def advance(self, index: int) -> None:
        """Applies H to vector number `index` of the basis."""
        product = self._operator.matvec(self._rows[index])
        self.products += 1
        self._product_done()
        coefficients, _ = self._add(product, None)
        self._done.append(index)
        self._coefficients = self._padded()
        self._coefficients[: len(coefficients), index] = coefficients
        self._coefficients[index, : len(coefficients)] = coefficients

    def ritz(self) -> Ritz:
        """The eigenpairs of the projection onto the vectors that H was applied to."""
        done, pending = sorted(self._done), self.pending
        padded = self._padded()
        values, vectors = torch.linalg.eigh(padded[done][:, done])
        outside = padded[pending][:, done] @ vectors
        return Ritz(values, vectors, torch.linalg.vector_norm(outside, dim=0), outside)

    def vector(self, coefficients: Tensor) -> Tensor:
        """The vector (n,) with these coefficients (k,) in the vectors that H was applied to."""
        every = torch.zeros(self._count, dtype=torch.float64)
        every[sorted(self._done)] = coefficients
        return every.to(self._rows) @ self._rows[: self._count]

    def restart(self, ritz: Ritz, kept: Sequence[int]) -> None:
        """Keeps of the vectors that H was applied to only the Ritz vectors numbered `kept` ("thick restart")."""
        pending = [self._rows[i].clone() for i in self.pending]
        rows = [*(self.vector(ritz.vectors[:, k]) for k in kept), *pending]
        size, count = len(rows), len(kept)
        coefficients = torch.zeros(size, size, dtype=torch.float64)
        coefficients[:count, :count] = torch.diag(ritz.values[[*kept]])
        coefficients[count:, :count] = ritz.outside[:, [*kept]]
        coefficients[:count, count:] = coefficients[count:, :count].T
        for place, row in zip(self._rows, rows, strict=False):
            place.copy_(row)
        self._count, self._done, self._coefficients = size, [*range(count)], coefficients

    def _padded(self) -> Tensor:
        """The coefficients, with zeros for the vectors that are new."""
        missing = self._count - len(self._coefficients)
        return torch.nn.functional.pad(self._coefficients, (0, missing, 0, missing))

    def _add(self, vector: Tensor, least: float | None) -> tuple[Tensor, bool]:
        """The coefficients of `vector` in the basis; what is outside becomes the basis's next vector, if it is longer
        than `least` (None: than rounding error).
        """
        basis = self._rows[: self._count]
        coefficients = torch.zeros(self._count, dtype=torch.float64)
        for _ in range(2):
            inside = basis @ vector
            vector = vector - inside @ basis
            coefficients += inside.double().cpu()
        left = torch.linalg.vector_norm(vector).item()
        if least is None:
            least = 10 * torch.finfo(vector.dtype).eps * max([left, *coefficients.abs().tolist()])
        if self._count == len(self._rows) or not left > least:
            return coefficients, False
        self._rows[self._count] = vector / left
        self._count += 1
        return torch.cat([coefficients, torch.tensor([left], dtype=torch.float64)]), True
