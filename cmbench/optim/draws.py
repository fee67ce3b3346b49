"""Random numbers that are a function of a step and a place in it: the same in every process, and after a resume."""

from __future__ import annotations

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_BITS = 23
"""As many as a float32 in (0, 1) can hold, so that every dtype has the same numbers."""


def uniform(step: Tensor, count: int) -> Tensor:
    """`count` numbers in (0, 1), float32, on the device of `step` (), for the step of that number.

    Number i is (k + ½)/2²³ with k the upper bits of mix(mix(step) + i), where mix is one output of splitmix64 (Steele,
    Lea & Flood 2014). A counter in place of a generator's state: nothing is drawn in an order, nothing kept, nothing
    read back from the device.
    """
    place = torch.arange(count, dtype=torch.int64, device=step.device)
    bits = _shifted(_mixed(_mixed(step.to(torch.int64)) + place), 64 - _BITS)
    return (bits.to(torch.float32) + 0.5) * 2.0**-_BITS


def _mixed(x: Tensor) -> Tensor:
    x = x + _signed(_GAMMA)
    x = (x ^ _shifted(x, 30)) * _signed(_FIRST)
    x = (x ^ _shifted(x, 27)) * _signed(_SECOND)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """To the right, as if `x` had no sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(x: int) -> int:
    """The int64 of the same bits."""
    return x - (1 << 64) if x >> 63 else x
