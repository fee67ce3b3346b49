"""One seed, several independent streams of random numbers."""

from __future__ import annotations

import hashlib

import torch

TASKS = "tasks"
"""The purpose of the order of a stream's tasks."""


def derived_seed(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose ("weights", "order" of epoch 3 …) of the run with this `seed`."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *purpose: object) -> torch.Generator:
    """A CPU generator for one purpose of the run with this `seed`."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))
