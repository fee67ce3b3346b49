"""Ctrl-C and SIGTERM as a question that a loop asks at a moment of its own choosing."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Interrupt:
    """Whether the plan shall stop; this one is never requested."""

    @property
    def requested(self) -> bool:
        """Asked again and again: once it is true, it stays so."""
        return False


class Either(Interrupt):
    """Requested when one of several is."""

    def __init__(self, *interrupts: Interrupt) -> None:
        self._interrupts = interrupts

    @property
    def requested(self) -> bool:
        return any(interrupt.requested for interrupt in self._interrupts)


class Interruptible(Interrupt):
    """While it is open, the first SIGINT or SIGTERM sets `requested`; the second does what it does elsewhere."""

    def __init__(self) -> None:
        self._requested = False
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        return self._requested

    def __enter__(self) -> Interruptible:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _handle(self, *_: Any) -> None:
        self._requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(self, *_: Any) -> None:
        self._restore()
