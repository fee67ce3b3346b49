"""Images as bytes, and what a network is given for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor


def standardised(images: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Bytes (B, C, H, W) on the scale of 0 to 1, less each channel's `mean` and divided by its `deviation`."""
    slope, offset = _scale(tuple(mean), tuple(deviation), images.device)
    return images * slope - offset


@cache
def _scale(mean: tuple[float, ...], deviation: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """1 / (255 · deviation) and mean / deviation, kept there: a copy per batch would make the host wait."""
    shift, scale = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (mean, deviation))
    return (1 / (255 * scale)).float().to(device), (shift / scale).float().to(device)
