"""What a run leaves on disk besides its result: where it was, so that it can go on, and its final weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cmbench.errors import UserError
from cmbench.experiments.store import write_atomically

RESUME = ".resume.pt"
WEIGHTS = ".pt"
BEST = ".best.pt"


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors, numbers, strings and containers of them, whole or not at all."""
    write_atomically(path, lambda file: torch.save(content, file))


def load(path: Path, processes: int | None = None) -> dict[str, Any]:
    """What `save` wrote, on the CPU; raises `UserError` naming a file that is something else.

    A checkpoint to go on from is one of so many `processes`.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except Exception as error:
        # torch raises whatever its unpickler or zip reader meets first.
        raise UserError(f"{path}: not a checkpoint ({type(error).__name__}); remove it, or use --force") from None
    if processes is not None and len(content.get("processes", ())) != processes:
        found = len(content.get("processes", ()))
        raise UserError(f"{path}: a checkpoint of {found} processes, not {processes}; use as many, or --force")
    return content


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of torch's generators that a training on `device` draws from."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Takes up what `random_state` has returned."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
