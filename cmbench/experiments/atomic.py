"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from cmbench.experiments.process import is_running, this_machine

_ABANDONED_SECONDS = 86400.0


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Lets `write` fill a temporary file beside `path`, then renames it: `path` is never half written.

    What is no file, `/dev/stdout` or a pipe, is written to as it is: a file must not take its place.
    Leftovers of a process killed while writing this path, or one that is called alike up to its first dot, are removed:
    at once where it ran on this machine, after a day where nobody can tell whether it still does.
    """
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            write(file)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{glob.escape(path.name.partition('.')[0])}.*.tmp"):
        if is_abandoned(leftover):
            leftover.unlink(missing_ok=True)
    temporary = path.parent / f".{path.name}.{this_machine()}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """The same for what is at hand as a whole."""
    write_atomically(path, lambda file: file.write(content))


def temporary_file(folder: Path, prefix: str) -> IO[bytes]:
    """A file that goes when it is closed; what a killed process has left `is_abandoned`."""
    suffix = f".{this_machine()}.{os.getpid()}.tmp"
    return tempfile.NamedTemporaryFile(dir=folder, prefix=prefix, suffix=suffix)


def is_abandoned(temporary: Path) -> bool:
    """Whether the process that has made this temporary file, of this module, is gone."""
    *_, machine, pid, _ = temporary.name.split(".")
    with contextlib.suppress(ValueError, OSError):
        if machine == this_machine():
            return not is_running(int(pid))
        return time.time() - temporary.stat().st_mtime > _ABANDONED_SECONDS
    return False
