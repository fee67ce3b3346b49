"""What is recorded beside a result about where it ran: versions, device, determinism; nothing that names a machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmbench.errors import UserError
from cmbench.version import VERSION

if TYPE_CHECKING:
    import torch


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def _git_commit() -> str | None:
    """The commit of the checkout that this code runs from, `+` where it has changes; None when it is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        status = ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"]
        changed = subprocess.run(status, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def environment(device: str = "cpu") -> dict[str, Any]:
    """Versions, device and determinism flags, without host name, user name or path."""
    import torch

    cuda = torch.device(device).type == "cuda"
    return {
        "cmbench": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _processor(),
        "device": torch.cuda.get_device_name(device) if cuda else str(device),
        "threads": torch.get_num_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32),
        "git_commit": _git_commit(),
    }


def compiler() -> str | None:
    """The C++ compiler that `torch.compile` would use on a CPU; None where there is none."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return Path(name).name
    return None


def pick_device(name: str | None) -> torch.device:
    """The device called `name`, by default a GPU if there is one; raises `UserError` for one that is not there."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: not available here: {str(error).splitlines()[0]}") from None
    return device
