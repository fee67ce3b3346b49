"""The spectral density of a Hessian: how many of its eigenvalues lie where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from cmbench.curvature.krylov import Operator, Subspace


@dataclass(frozen=True)
class Spectrum:
    """A density as a sum of points: `weights` (K,), which sum to 1, at the Ritz values `nodes` (K,), ascending."""

    nodes: np.ndarray
    weights: np.ndarray
    products: int

    @property
    def negative(self) -> float:
        """The share of eigenvalues below zero, by rounding error's width."""
        scale = float(np.abs(self.nodes).max())
        return float(self.weights[self.nodes < -1e-6 * scale].sum())


def spectrum(
    operator: Operator,
    vectors: int = 4,
    steps: int = 40,
    *,
    seed: int = 0,
    product_done: Callable[[], None] = lambda: None,
) -> Spectrum:
    """The spectral density by stochastic Lanczos quadrature (Lin, Saad and Yang 2016; Ghorbani et al. 2019).

    From each of `vectors` random vectors, Lanczos' iteration of `steps` products gives the Ritz values θ_k with the
    weights of a Gaussian quadrature, the squared first entries of their eigenvectors; the density is their mean.
    Raises `ValueError` where products are not finite.
    """
    nodes, weights, products = [], [], 0
    for number in range(vectors):
        space = Subspace(operator, steps + 1, seed * vectors + number, product_done)
        space.begin()
        while space.products < steps and space.pending:
            space.advance(space.pending[-1])
        if not space.is_finite:
            raise ValueError("the Hessian's products are not finite numbers")
        ritz = space.ritz()
        nodes.append(ritz.values)
        weights.append(ritz.vectors[0] ** 2 / vectors)
        products += space.products
    every, shares = torch.cat(nodes), torch.cat(weights)
    order = torch.argsort(every)
    return Spectrum(every[order].numpy(), shares[order].numpy(), products)
