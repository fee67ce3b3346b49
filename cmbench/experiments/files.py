"""What the files of a run are called."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

RESULT = ".json"
RESUME = ".resume.pt"
"""Where a run was, so that it can go on."""
WEIGHTS = ".pt"
"""What a finished run has ended with."""
BEST = ".best.pt"
"""The weights of its best epoch."""
BAD = ".bad"
"""Behind the name of a file that cannot be used."""


def folder_name(label: str) -> str:
    """`label` with what a file system may refuse replaced."""
    return re.sub(r"[^\w.=+,@-]+", "_", label).strip(".") or "_"


def set_aside(path: Path) -> Path:
    """Renames a file that cannot be used to `NAME.bad`, or `NAME.bad.2` and so on, and returns that.

    Nothing that somebody may want is lost. Another process may have done it already.
    """
    target, number = path.with_name(f"{path.name}{BAD}"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}{BAD}.{number}")
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, target)
    return target
