"""What a run leaves on disk besides its result: where it was, so that it can go on, and its final weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cmbench.errors import UserError
from cmbench.experiments.store import write_atomically

RESUME = ".resume.pt"
WEIGHTS = ".pt"


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors, numbers, strings and containers of them, whole or not at all."""
    write_atomically(path, lambda file: torch.save(content, file))


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote, on the CPU; raises `UserError` naming a file that is something else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except Exception as error:
        # torch raises whatever its unpickler or zip reader meets first.
        raise UserError(f"{path}: not a checkpoint ({type(error).__name__}); remove it, or use --force") from None
