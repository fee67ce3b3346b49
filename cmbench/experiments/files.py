"""What the files of a run are called."""

from __future__ import annotations

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


def folder_name(label: str) -> str:
    """`label` with what a file system may refuse replaced."""
    return re.sub(r"[^\w.=+,@-]+", "_", label).strip(".") or "_"


def set_aside(path: Path) -> Path:
    """Renames a file that cannot be used to `NAME.bad`, and returns that: nothing that somebody may want is lost."""
    target = path.with_name(f"{path.name}.bad")
    os.replace(path, target)
    return target
