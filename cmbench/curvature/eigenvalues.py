"""The largest eigenvalues of a Hessian, with what is known of their error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cmbench.curvature.krylov import Operator, Ritz, Subspace

Which = Literal["algebraic", "magnitude"]
_ROOM = (32, 400)
"""The fewest and the most vectors in memory at a time, besides those that more than a few eigenvalues need."""
_NUMBERS = 2**24
"""As many numbers as those between may have together."""


@dataclass(frozen=True)
class Eigenvalue:
    """An eigenvalue as an iteration has left it.

    value: None where it did not converge.
    estimate: the Rayleigh quotient θ of the unit vector y that it ended with, converged or not.
    residual: ‖H y − θ y‖₂.
    interval: (θ − r, θ + r) holds an eigenvalue, where r is the residual or, if larger, the rounding error.
    products: Hessian-vector products that this took, for all eigenvalues that were asked for together.
    """

    estimate: float
    residual: float
    interval: tuple[float, float]
    products: int
    converged: bool

    @property
    def value(self) -> float | None:
        """The estimate, if it is one that was converged to."""
        return self.estimate if self.converged else None


@dataclass(frozen=True)
class Eigenpairs:
    """The `eigenvalues` that were asked for, the first one first, and the `vectors` (n,) of as many as were asked for,
    if there are any.
    """

    eigenvalues: tuple[Eigenvalue, ...]
    vectors: tuple[Tensor, ...] = ()

    def why_lost(self, tolerance: float) -> str | None:
        """Why one of them did not converge to `tolerance`; None where all did."""
        lost = next((each for each in self.eigenvalues if not each.converged), None)
        if lost is None:
            return None
        if not math.isfinite(lost.estimate):
            return "the Hessian's products are not finite numbers"
        best = f"the best estimate is {lost.estimate:.6g} with a residual of {lost.residual:.2g}"
        return f"not converged to {tolerance:g} in {lost.products} products: {best}"


def top_eigenvalue(operator: Operator, *, tolerance: float = 1e-4, seed: int = 0) -> Eigenvalue:
    """The algebraically largest eigenvalue: the first of `top_eigenvalues`."""
    return top_eigenvalues(operator, tolerance=tolerance, seed=seed).eigenvalues[0]


def top_eigenvalues(
    operator: Operator,
    count: int = 1,
    *,
    which: Which = "algebraic",
    tolerance: float = 1e-4,
    iterations: int = 200,
    seed: int = 0,
    start: Tensor | None = None,
    vectors: int = 1,
    product_done: Callable[[], None] = lambda: None,
) -> Eigenpairs:
    """The `count` largest eigenvalues by value or by magnitude, by Lanczos' method with full reorthogonalisation.

    Each has converged when its residual is at most `tolerance`·|θ| (or rounding error). An eigenpair may still not be
    the top one: the start can be blind to that. Then a second random vector, orthogonal to all before, is iterated on
    a third as long (as long, where the wanted ones are not the dominant ones) and until no other pair's residual lets
    it be above them, and what it finds is taken in; once more where that changes the result. Thick restarts bound the
    memory: to 32 vectors, or as many as make 2²⁴ numbers.

    Args:
        operator: H.
        iterations: products with H at the most; what has not converged then is said to have not.
        seed: of the random vectors.
        start: the first vector (n,), e.g. the eigenvector of an earlier, similar matrix; random if None.
        vectors: of so many of the eigenvalues the eigenvectors are returned, which are orthonormal up to rounding.
        product_done: called after every product.
    """
    count = min(count, operator.size)
    fewest, most = _ROOM
    room = max(fewest, min(most, _NUMBERS // operator.size)) + 2 * count
    space = Subspace(operator, room, seed, product_done)
    search = _Search(space, count, which, tolerance)
    space.begin(start)
    while True:
        if space.products and not space.is_finite:
            lost = Eigenvalue(math.nan, math.nan, (math.nan, math.nan), space.products, False)
            return Eigenpairs((lost,) * count)
        ritz = space.ritz()
        over = search.is_over(ritz)
        if over or space.products >= iterations:
            return search.outcome(ritz, over, vectors)
        space.advance(search.next(ritz))


class _Search:
    """What is looked for in a subspace, and whether it may be called found."""

    def __init__(self, space: Subspace, count: int, which: Which, tolerance: float) -> None:
        self._space, self._count, self._which, self._tolerance = space, count, which, tolerance
        self._left: int | None = None
        """Products that the second vector is still iterated on; None before there is one."""
        self._before = math.nan

    def _wanted(self, ritz: Ritz, count: int) -> list[int]:
        chosen: list[int] = torch.argsort(self._size(ritz.values), descending=True)[:count].tolist()
        return chosen

    def _settled(self, ritz: Ritz, index: int) -> bool:
        within = max(self._tolerance * abs(ritz.values[index].item()), self._space.rounding)
        return ritz.residuals[index].item() <= within

    def is_over(self, ritz: Ritz) -> bool:
        """Whether all have converged, and a second vector has found nothing that is above them, or may be."""
        space, wanted = self._space, self._wanted(ritz, self._count)
        if space.is_whole:
            return True
        if len(wanted) < self._count or not all(self._settled(ritz, index) for index in wanted):
            return False
        lowest = ritz.values[wanted[-1]].item()
        if self._left is None or (self._left == 0 and not self._same(lowest)):
            self._before = lowest
            dominant = lowest >= ritz.values.abs().max().item() / 2
            self._left = max(2, -(-space.products // (3 if dominant else 1)))
            self._make_room(ritz)
            if not space.begin() and not space.pending:
                self._left = 0
        return self._left == 0 and not self._rivals(ritz)

    def _rivals(self, ritz: Ritz) -> list[int]:
        """Others that may yet turn out to be above the wanted ones, by their residuals."""
        wanted = self._wanted(ritz, self._count)
        size = self._size(ritz.values)
        bound = size[wanted[-1]].item() + max(self._tolerance * size[wanted[-1]].abs().item(), self._space.rounding)
        above = (size + ritz.residuals > bound).nonzero().flatten().tolist()
        return [index for index in above if index not in wanted]

    def _size(self, values: Tensor) -> Tensor:
        return values.abs() if self._which == "magnitude" else values

    def _same(self, lowest: float) -> bool:
        return abs(lowest - self._before) <= max(self._tolerance * abs(lowest), self._space.rounding)

    def next(self, ritz: Ritz) -> int:
        """The vector that H is applied to next: of the second vector's, else that which the wanted ones lack most."""
        if self._space.is_full:
            self._make_room(ritz)
            ritz = self._space.ritz()
        if not self._space.pending:
            self._space.begin()
        pending = self._space.pending
        if self._left or not len(ritz.outside):
            self._left = self._left - 1 if self._left else self._left
            return pending[-1]
        wanted = self._wanted(ritz, self._count)
        lacking = ritz.outside[:, [*wanted, *(self._rivals(ritz) if self._left == 0 else ())]].norm(dim=1)
        return pending[int(lacking.argmax())]

    def _make_room(self, ritz: Ritz) -> None:
        if self._space.is_full:
            self._space.restart(ritz, self._wanted(ritz, self._count + _ROOM[0] // 3))

    def outcome(self, ritz: Ritz, over: bool, vectors: int) -> Eigenpairs:
        """The wanted ones, as far as they were found; none of them unless the search is `over`."""
        wanted = self._wanted(ritz, self._count)
        found = []
        for index in wanted:
            value, residual = ritz.values[index].item(), ritz.residuals[index].item()
            error = max(residual, self._space.rounding)
            converged = over and self._settled(ritz, index)
            found.append(Eigenvalue(value, residual, (value - error, value + error), self._space.products, converged))
        return Eigenpairs(tuple(found), tuple(self._space.vector(ritz.vectors[:, k]) for k in wanted[:vectors]))
