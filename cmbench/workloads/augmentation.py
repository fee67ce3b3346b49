"""Random changes to training images: an epoch's chances are drawn at once, batches are changed on the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Augmentation = Callable[[Tensor, Tensor], Tensor]
"""Changes a batch of images; the other argument (B,) says which images of the epoch, counted in its order, they are."""

PADDING = 4


def crops_and_flips(count: int, order: torch.Generator, device: torch.device) -> Augmentation:
    """For `count` images: each is cropped at random from a frame 4 pixels wider on each side, and half are mirrored."""
    corners = torch.randint(0, 2 * PADDING + 1, (count, 2), generator=order).to(device)
    mirrored = (torch.rand(count, generator=order) < 0.5).to(device)
    return lambda images, places: crop_and_flip(images, corners[places], mirrored[places])


def crop_and_flip(images: Tensor, corners: Tensor, mirrored: Tensor) -> Tensor:
    """Crops as large as `images` (B, C, H, W) out of them in a frame of zeros, at `corners` (B, 2).

    `mirrored` (B,) says which are turned left to right.
    """
    size = images.shape[-1]
    framed = F.pad(images, (PADDING,) * 4)
    steps = torch.arange(size, device=images.device)
    rows = corners[:, :1] + steps
    columns = corners[:, 1:] + torch.where(mirrored[:, None], size - 1 - steps, steps)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return framed.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
