"""The trace of a Hessian, from products with random vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy import stats

from cmbench.curvature.krylov import Operator


@dataclass(frozen=True)
class Trace:
    """An unbiased estimate of the trace, with its 95 % t-interval over the random vectors of its second part."""

    value: float
    interval: tuple[float, float]
    products: int


def trace(
    operator: Operator, products: int = 60, *, seed: int = 0, product_done: Callable[[], None] = lambda: None
) -> Trace:
    """tr H by Hutch++ (Meyer et al. 2021): exact on the range Q of H·S, Hutchinson's mean of gᵀHg outside of it.

    S has a third of the `products` vectors of random signs as columns, as has G. With as many products as three
    times the dimension it is exact. Raises `ValueError` for fewer than six.
    """
    if products < 6:
        raise ValueError("Hutch++ needs 6 products at least")
    each = min(products // 3, operator.size)
    signs = torch.Generator().manual_seed(seed)

    def apply(columns: torch.Tensor) -> torch.Tensor:
        done = []
        for column in columns.T:
            done.append(operator.matvec(column))
            product_done()
        return torch.stack(done, 1)

    def drawn() -> torch.Tensor:
        bits = torch.randint(0, 2, (operator.size, each), generator=signs)
        return (2 * bits - 1).to(operator.like)

    basis, _ = torch.linalg.qr(apply(drawn()))
    inside = (basis * apply(basis)).sum(dtype=torch.float64).item()
    if each == operator.size:
        return Trace(inside, (inside, inside), 2 * each)
    outside = drawn()
    outside = outside - basis @ (basis.T @ outside)
    samples = (outside * apply(outside)).sum(0, dtype=torch.float64)
    value = inside + samples.mean().item()
    error = samples.std().item() / math.sqrt(each) * float(stats.t.ppf(0.975, each - 1))
    return Trace(value, (value - error, value + error), 3 * each)
