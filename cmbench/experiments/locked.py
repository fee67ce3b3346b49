"""One process after the other, where something that is shared bears only one at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """While it is open, others wait who want the same; the lock is `FILE.lock` beside the file, and dies with us.

    Raises `OSError` where it cannot be made.
    """
    with open(file.with_name(file.name + ".lock"), "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
