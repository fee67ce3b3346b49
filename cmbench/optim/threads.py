"""How many threads work on what is small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_MANY = 200_000


@contextmanager
def few_threads(numbers: int) -> Iterator[None]:
    """One thread while tensors of this size are worked on, unless they are large.

    Waiting for a second thread, which on a busy machine may not run just then, takes far longer than such a step: 2 ms
    instead of 10 µs for a square root of 3,000 numbers.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if numbers < _MANY else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
