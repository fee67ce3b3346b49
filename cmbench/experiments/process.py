"""Which process this is, among those of every machine that sees the same files, and whether another one still lives."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from pydantic import BaseModel


class Process(BaseModel, frozen=True):
    """One process: the machine, its number there, and when it began, since numbers are given again.

    `machine` stands for the host since it was started, and for the container that numbers its processes.
    """

    host: str
    machine: str
    pid: int
    began: str

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, one of this machine's: only there can be told whether it lives."""
        return self.machine == this_machine()

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; of another machine's process, which cannot be told, True."""
        return not self.is_here or is_running(self.pid, self.began)


def this_process() -> Process:
    """The one that asks."""
    pid = os.getpid()
    return Process(host=platform.node(), machine=this_machine(), pid=pid, began=_began(pid) or "")


def is_running(pid: int, began: str | None = None) -> bool:
    """Whether a process of that number runs on this machine, and began then, where that is known."""
    found = _began(pid)
    return found is not None and began in (None, found)


@cache
def this_machine() -> str:
    """12 hexadecimal digits that no other host has, nor this one after it is started again."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):  # where it is not Linux, the host's name must do
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _began(pid: int) -> str | None:
    """When the process of that number began, in whatever form the system gives it; None where none runs."""
    try:
        # Its name, which may hold anything, stands in brackets; then state and, 19 further on, the start.
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:  # it ended while it was read
        return None
    else:
        return None if state in "ZX" else fields[18]
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout.strip() or None
