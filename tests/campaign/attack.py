"""What a row of the campaign's table is: an attack, tried again and again, and what must hold."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """One try: what was lost, in a sentence with what is needed to repeat it; None where it has survived.

    `where` is what the try has hit, which the table counts: `while a checkpoint was written`.
    """

    lost: str | None = None
    where: str = ""


@dataclass(frozen=True)
class Attack:
    """A row of the table: its title, what must hold, and how often it is tried in a full campaign, of an hour.

    `run` is a generator without end: it sets up, and gives an outcome for every try. All its random numbers come from
    the generator that it gets; the folder is empty, and its own.
    """

    name: str
    holds: str
    tries: int
    run: Callable[[random.Random, Path], Iterator[Outcome]]


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises `TimeoutError` in what is inside after so many seconds; for the main thread."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
