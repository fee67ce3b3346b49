"""Value and gradient of the surfaces that most runs are made on, by hand: autograd takes three times as long.

Each is the function of the same name in `functions`, for x (L, D): it returns the values (L,) and the gradients (L, D).
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from cmbench.landscapes.functions import over_coordinates


@cache
def _numbers(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A vector of them; made once, which takes longer than to use it."""
    return torch.tensor(values, dtype=torch.float64, device=device)


def ackley(x: Tensor) -> tuple[Tensor, Tensor]:
    """∂f/∂x_d = 4·exp(−0.2·r)·x_d/(D·r) + exp(mean cos 2πx)·2π·sin(2πx_d)/D with r = √(mean x²); 0 at the tip."""
    dim, angle = x.shape[-1], 2 * math.pi * x
    distance = (over_coordinates(x.square()) / dim).sqrt()
    hole, waves = torch.exp(-0.2 * distance), torch.exp(over_coordinates(angle.cos()) / dim)
    slope = (4 / dim * hole / distance).masked_fill(distance == 0, 0.0)
    gradient = x * slope.unsqueeze(-1) + angle.sin() * (2 * math.pi / dim * waves).unsqueeze(-1)
    return -20 * hole - waves + (math.e + 20), gradient


def goldstein_price(x: Tensor) -> tuple[Tensor, Tensor]:
    """A is a function of u = x + y alone and B one of v = 2x − 3y, as the quadratic forms in them are:

    A = 1 + (u + 1)²·(19 − 14u + 3u²),    A' = 12·(u + 1)·(u − 1)·(u − 2)
    B = 30 + v²·(18 − 16v + 3v²),         B' = 12·v·(v − 1)·(v − 3)
    """

    def pair(*values: float) -> Tensor:
        return _numbers(values, x.device)

    first, second = x.unbind(-1)
    w = torch.stack([first + second, 2 * first - 3 * second], -1)
    moved = w + pair(1, 0)
    both = moved.square() * ((3 * w - pair(14, 16)) * w + pair(19, 18)) + pair(1, 30)
    slopes = 12 / 2.427 * (moved * (w - 1) * (w - pair(2, 3)) / both)
    of_u, of_v = slopes.unbind(-1)
    gradient = torch.stack([of_u + 2 * of_v, of_u - 3 * of_v], -1)
    return (over_coordinates(both.log()) - 8.693) / 2.427, gradient


def levy(x: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_d z_d²·[1 + c_d·sin²(a_d)] with z = (x − 1)/4, where c = 10 and a = πw + 1 but for the last, 1 and 2πw."""
    inner = x.shape[-1] - 1
    constants = ((10.0, 1.0), (math.pi, 2 * math.pi), (1.0, 0.0))
    amplitude, times, shift = (_numbers((a,) * inner + (b,), x.device) for a, b in constants)
    z = (x - 1) / 4
    angle = (z + 1) * times + shift
    sine = angle.sin()
    wave = amplitude * sine
    height = 1 + wave * sine
    gradient = 0.5 * z * (height + z * wave * angle.cos() * times)
    first = math.pi * (z[:, 0] + 1)
    sine = first.sin()
    gradient[:, 0] += math.pi / 2 * sine * first.cos()
    return sine.square() + over_coordinates(z.square() * height), gradient


def ackley_rosenbrock(x: Tensor) -> tuple[Tensor, Tensor]:
    """Those of Ackley's part, and −0.1·(1 − x) − 0.2·x·(y − x²), 0.1·(y − x²)."""
    angle = 2 * math.pi * x
    distance = (0.5 * over_coordinates(x.square())).sqrt()
    radius, waves = torch.exp(-0.2 * distance), torch.exp(0.5 * over_coordinates(angle.cos()))
    gradient = angle.sin() * (0.6 * math.pi * waves).unsqueeze(-1) - x * (0.06 * radius / distance).unsqueeze(-1)
    first, second = x.unbind(-1)
    rest, off = 1 - first, second - first.square()
    gradient[:, 0] -= 0.1 * rest + 0.2 * first * off
    gradient[:, 1] += 0.1 * off
    return 0.05 * (rest.square() + off.square()) + 0.6 * (radius - waves + math.e), gradient


def sharp_flat(x: Tensor, sharpness: Tensor | float) -> tuple[Tensor, Tensor]:
    """2·x_d, or 2s·(x_d − 1) where that branch is the smaller one."""
    coefficient = torch.as_tensor(sharpness, dtype=x.dtype, device=x.device).unsqueeze(-1)
    beside = x - 1
    flat, sharp = x.square(), coefficient * beside.square()
    is_sharp = sharp < flat
    return over_coordinates(torch.where(is_sharp, sharp, flat)), 2 * torch.where(is_sharp, coefficient * beside, x)
