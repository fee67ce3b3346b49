"""The formulas of the analytic surfaces.

Each is a function of `x` with shape (..., D), float64, that returns (...): the leading dimensions are independent
points, and nothing may be reduced over them. Gradients and Hessians come from autograd.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor


def over_coordinates(terms: Tensor) -> Tensor:
    """The sum of `terms` (..., D) over D: column by column, as torch's takes ten times as long for very few."""
    return reduce(torch.add, terms.unbind(-1)) if terms.shape[-1] <= 3 else terms.sum(-1)


def ackley(x: Tensor) -> Tensor:
    """f(x) = −20·exp(−0.2·√(mean x²)) − exp(mean cos 2πx) + e + 20, for any D.

    A nearly flat outside with a dent at every lattice point, and a hole at the origin, the global minimum f = 0, where
    the function has a cone's tip: its second derivatives grow without bound towards it.
    Source: Ackley 1987; the paper's Eq. 11 is D = 2.
    """
    distance = torch.linalg.vector_norm(x, dim=-1) / x.shape[-1] ** 0.5
    waves = torch.cos(2 * torch.pi * x).mean(-1)
    return -20 * torch.exp(-0.2 * distance) - torch.exp(waves) + torch.e + 20


def goldstein_price(x: Tensor) -> Tensor:
    """f(x, y) = (log(A·B) − 8.693) / 2.427, with

    A = 1 + (x + y + 1)²·(19 − 14x + 3x² − 14y + 6xy + 3y²),
    B = 30 + (2x − 3y)²·(18 − 32x + 12x² + 48y − 36xy + 27y²)

    The logarithmic form of Picheny et al. 2013, on unscaled coordinates. The paper's Eq. 12 moves −8.693 into the
    second bracket, where the logarithm would be undefined on part of the plane. Global minimum f(0, −1) = −3.129
    (the paper prints [0, 1]).
    """
    x, y = x.unbind(-1)
    a = 1 + (x + y + 1).square() * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)
    b = 30 + (2 * x - 3 * y).square() * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    return (torch.log(a * b) - 8.693) / 2.427


def levy(x: Tensor) -> Tensor:
    """f(x) = sin²(πw₁) + Σ_{i<D} (wᵢ−1)²·[1 + 10·sin²(πwᵢ + 1)] + (w_D−1)²·[1 + sin²(2πw_D)], wᵢ = 1 + (xᵢ−1)/4.

    For any D; a sum over coordinates, with the global minimum f(1, …, 1) = 0. Source: Laguna & Martí 2005; the
    paper's Eq. 13 prints w without the index 1 in the first term.
    """
    w = 1 + (x - 1) / 4
    first, inner, last = w[..., 0], w[..., :-1], w[..., -1]
    return (
        torch.sin(torch.pi * first).square()
        + ((inner - 1).square() * (1 + 10 * torch.sin(torch.pi * inner + 1).square())).sum(-1)
        + (last - 1).square() * (1 + torch.sin(2 * torch.pi * last).square())
    )


def ackley_rosenbrock(x: Tensor) -> Tensor:
    """f(x, y) = 0.05·(1−x)² + 0.05·(y−x²)² + 0.6·[exp(−0.2·√((x²+y²)/2)) − exp((cos 2πx + cos 2πy)/2) + e].

    Rosenbrock's curved valley with a dent at every lattice point. Source: the paper's Eq. 14.
    """
    x, y = x.unbind(-1)
    radius = torch.exp(-0.2 * torch.sqrt(0.5 * (x**2 + y**2)))
    waves = torch.exp(0.5 * (torch.cos(2 * torch.pi * x) + torch.cos(2 * torch.pi * y)))
    return 0.05 * (1 - x).square() + 0.05 * (y - x**2).square() + 0.6 * (radius - waves + torch.e)


def sharp_flat(x: Tensor, sharpness: Tensor | float) -> Tensor:
    """f_s(x) = Σ_d min(x_d², s·(x_d − 1)²), for any D and s > 1.

    The coefficient s, `sharpness`, is a number, or has the shape of the leading dimensions: one for each point. Each
    coordinate has a flat minimum at 0 (curvature 2) and a sharp one at 1 (curvature 2s), so that there are 2^D minima,
    all of value 0; the paper names the two where every coordinate agrees. Source: the paper's Eq. 9.
    """
    # Which branch is the smaller one needs no gradient; differentiating torch.minimum would cost a quarter more.
    point = x.detach()
    coefficient = torch.as_tensor(sharpness, dtype=x.dtype, device=x.device).unsqueeze(-1)
    sharp = coefficient * (point - 1).square() < point.square()
    return (torch.where(sharp, coefficient, 1.0) * (x - sharp.to(x.dtype)).square()).sum(-1)


def quadratic(x: Tensor, spectrum: Tensor) -> Tensor:
    """f(x) = ½·Σ_d h_d·x_d² with the eigenvalues h = `spectrum`, shape (D,); the minimum is the origin."""
    return 0.5 * (spectrum * x.square()).sum(-1)


def rastrigin(x: Tensor) -> Tensor:
    """f(x) = Σ_d [10 + x_d² − 10·cos 2πx_d], for any D.

    A bowl with a dent at every lattice point; the deepest is the origin, f = 0. Source: Rastrigin 1974, in D dimensions
    Mühlenbein et al. 1991.
    """
    return (10 + x.square() - 10 * torch.cos(2 * torch.pi * x)).sum(-1)


def rosenbrock(x: Tensor) -> Tensor:
    """f(x, y) = (1 − x)² + 100·(y − x²)².

    A curved valley, flat along its ground, with the only minimum f(1, 1) = 0. Source: Rosenbrock 1960.
    """
    x, y = x.unbind(-1)
    return (1 - x).square() + 100 * (y - x.square()).square()


def styblinski_tang(x: Tensor) -> Tensor:
    """f(x) = ½·Σ_d (x_d⁴ − 16·x_d² + 5·x_d), for any D.

    Two wells along every coordinate, the deeper one at −2.9035: f = −39.166·D there. Source: Styblinski & Tang 1990.
    """
    return 0.5 * (x**4 - 16 * x.square() + 5 * x).sum(-1)


def griewank(x: Tensor) -> Tensor:
    """f(x) = 1 + Σ_d x_d²/4000 − Π_d cos(x_d/√d), d = 1, …, D, for any D.

    A wide bowl with small dents; the deepest is the origin, f = 0. Source: Griewank 1981.
    """
    root = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device).sqrt()
    return 1 + x.square().sum(-1) / 4000 - torch.cos(x / root).prod(-1)


def schaffer_2(x: Tensor) -> Tensor:
    """f(x, y) = ½ + [sin²(x² − y²) − ½] / [1 + 0.001·(x² + y²)]².

    Valleys along the hyperbolas x² − y² = kπ, ever closer together; the deepest minimum is f(0, 0) = 0. Source: Mishra
    2006, who calls it Schaffer function No. 2.
    """
    x, y = x.unbind(-1)
    waves = torch.sin(x.square() - y.square()).square()
    return 0.5 + (waves - 0.5) / (1 + 0.001 * (x.square() + y.square())).square()


def himmelblau(x: Tensor) -> Tensor:
    """f(x, y) = (x² + y − 11)² + (x + y² − 7)²; four minima of value 0. Source: Himmelblau 1972."""
    x, y = x.unbind(-1)
    return (x.square() + y - 11).square() + (x + y.square() - 7).square()
