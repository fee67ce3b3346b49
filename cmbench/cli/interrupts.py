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


@contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """While it is open, either raises `KeyboardInterrupt`; in the middle of an import it ends the process, with 130.

    Libraries that try one import after another take the exception for one of theirs, and go on half made.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            print(HINT, file=sys.stderr, flush=True)
            sys.stdout.flush()
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt
