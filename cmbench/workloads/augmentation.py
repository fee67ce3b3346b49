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
    count, channels, height, width = images.shape
    framed = F.pad(images, (PADDING,) * 4).flatten(2)
    down, right = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    rows = corners[:, :1] + down
    columns = corners[:, 1:] + torch.where(mirrored[:, None], width - 1 - right, right)
    # One number per pixel, the same for every channel.
    pixels = (rows[:, :, None] * (width + 2 * PADDING) + columns[:, None, :]).view(count, 1, -1)
    return framed.gather(2, pixels.expand(-1, channels, -1)).view_as(images)
