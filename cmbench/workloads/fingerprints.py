"""Keeps the fingerprints of data sets that are read from files, which takes long where it is all of a data set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cmbench.experiments.atomic import write_bytes
from cmbench.workloads.data_locations import UNVERIFIED

if TYPE_CHECKING:
    from cmbench.workloads.base import Workload


def folder() -> Path:
    """Where they are kept: `cmbench/fingerprints` in the user's folder for caches. Whatever is in it can be deleted."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cmbench" / "fingerprints"


def fingerprint_of(workload: Workload) -> str:
    """`workload.fingerprint()`, from an earlier time where its files are the same by path, size and time of change.

    What is kept is ignored where it cannot be read, and nothing is kept where it cannot be written.
    """
    key = _key(workload)
    if key is None:
        return workload.fingerprint()
    try:
        place = folder() / key
    except RuntimeError:  # a user without a home
        return workload.fingerprint()
    found = _kept(place)
    if found is None:
        found = workload.fingerprint()
        if _key(workload) == key:  # else a file has changed in the meantime
            _keep(place, found)
    return found


def _key(workload: Workload) -> str | None:
    """What a fingerprint is kept under; None where it is none of files, or one of them is gone."""
    kind = type(workload)
    try:
        files = workload.data_files()
        marks = [*map(_mark, files), *map(_mark, _CODE)]
    except OSError:
        return None
    name = f"{kind.__module__}:{kind.__qualname__} {workload.source} v{workload.version}"
    chosen = f"{sorted(workload.chosen.items())} {os.environ.get(UNVERIFIED)}"
    return hashlib.sha256(b"\0".join((name.encode(), chosen.encode(), *marks))).hexdigest() if files else None


_CODE: Sequence[Path] = sorted(Path(__file__).parent.glob("*.py"))
"""What computes fingerprints here: where it changes, they may."""


def _mark(file: Path) -> bytes:
    stat = file.stat()
    return b"%s %d %d" % (os.fsencode(file.absolute()), stat.st_size, stat.st_mtime_ns)


def _kept(place: Path) -> str | None:
    """The fingerprint in the file `place`, which names its key before it."""
    try:
        words = place.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return None
    return words[1] if len(words) == 2 and words[0] == place.name else None


def _keep(place: Path, fingerprint: str) -> None:
    text = f"{place.name} {fingerprint}\n"
    try:
        write_bytes(place, text.encode())
    except OSError:
        return
