"""What Ctrl-C and SIGTERM do to a command, where nothing in it asks for them itself."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HINT = "interrupted; what was done is kept; the same command, without --force, goes on from there"
AGAIN_SECONDS = 0.02


@contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """While it is open, either raises `KeyboardInterrupt`; during an import, after it, and the second one ends all.

    Libraries that try one import after another take the exception for one of theirs, and go on half made. Others make
    an exception of their own of it: that is an interrupt as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    interrupt = _Interrupt()
    before = {number: signal.signal(number, interrupt) for number in numbers}
    before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
    try:
        yield
    except Exception:
        if interrupt.raised:
            raise KeyboardInterrupt from None
        raise
    finally:
        waiting = interrupt.disarm()
        for number, handler in before.items():
            signal.signal(number, handler)
    if waiting:  # since an import that was the last of it all
        raise KeyboardInterrupt


class _Interrupt:
    def __init__(self) -> None:
        self.raised = False
        self._waiting = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not _is_import(frame):
            self.disarm()
            self.raised = True
            raise KeyboardInterrupt
        if self._waiting == number:
            print(HINT, file=sys.stderr, flush=True)
            os._exit(130)
        self._waiting = number
        signal.signal(signal.SIGALRM, self._again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    def disarm(self) -> bool:
        """Forgets a signal that waits for the end of an import; whether there was one."""
        waited, self._waiting = bool(self._waiting), 0
        if waited:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return waited

    def _again(self, _: int, frame: FrameType | None) -> None:
        if _is_import(frame):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
            return
        number, self._waiting = self._waiting, 0
        signal.raise_signal(number)  # to whoever looks after it by now


def _is_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
