"""Images as files and as bytes, and what a network is given for them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cmbench.errors import UserError, reason
from cmbench.workloads import data_locations

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG")
"""What photographs come in. Pillow knows forty formats, and runs Ghostscript for one of them."""
MOST_BYTES = 1 << 26
"""Of a picture's file."""
MOST_PIXELS = 1 << 26
"""Of a picture: ImageNet's largest has fewer than that."""


def opened(
    content: Path | bytes, name: str, formats: tuple[str, ...] = FORMATS, size: tuple[int, int] | None = None
) -> Image:
    """The picture in a file, or in bytes, decoded; `name` stands for it in messages.

    Raises `UserError` for what is none of `formats`, cut off, broken, or of another (width, height) than `size`, which
    is found out before it is decoded, as is one of more than MOST_PIXELS.
    """
    import PIL.Image

    if isinstance(content, Path):
        content = data_locations.read_bytes(content, MOST_BYTES)
    try:
        picture = PIL.Image.open(io.BytesIO(content), formats=formats)
        width, height = picture.size
        if (size is None and width * height <= MOST_PIXELS) or size == (width, height):
            picture.load()
            return picture
    except PIL.UnidentifiedImageError:
        raise UserError(f"{name}: not an image: accepted: {', '.join(formats)}") from None
    except Exception as error:
        # Every decoder has its own errors: of a decompression bomb, of a broken chunk, of too little memory.
        raise UserError(f"{name}: not an image: {reason(error)}") from None
    accepted = f"{size[0]}×{size[1]}" if size else f"at most {MOST_PIXELS:,}"
    raise UserError(f"{name}: {width}×{height} pixels: accepted: {accepted}")


def standardised(images: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Bytes (B, C, H, W) on the scale of 0 to 1, less each channel's `mean` and divided by its `deviation`."""
    slope, offset = _scale(tuple(mean), tuple(deviation), images.device)
    return images * slope - offset


@cache
def _scale(mean: tuple[float, ...], deviation: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """1 / (255 · deviation) and mean / deviation, kept there: a copy per batch would make the host wait."""
    shift, scale = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (mean, deviation))
    return (1 / (255 * scale)).float().to(device), (shift / scale).float().to(device)
