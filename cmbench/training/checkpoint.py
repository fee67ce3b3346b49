"""What a run leaves on disk besides its result: where it was, so that it can go on, and its final weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cmbench.errors import UserError
from cmbench.experiments.atomic import write_atomically


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors, numbers, strings and containers of them, whole or not at all."""
    write_atomically(path, lambda file: torch.save(content, file))


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote, on the CPU; raises `UserError` naming a file that is something else."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except Exception as error:
        # torch raises whatever its unpickler or zip reader meets first.
        raise UserError(f"{path}: not a checkpoint ({type(error).__name__}); remove it, or use --force") from None
    return content


def load_to_resume(path: Path, processes: int, device: torch.device) -> dict[str, Any]:
    """A checkpoint to go on from; raises `UserError` for one of another version, of so many other `processes`, or made
    on another kind of device.
    """
    content = load(path)
    if not isinstance(content, dict) or not {"learner", "processes", "device", "telemetry"} <= content.keys():
        raise UserError(f"{path}: a checkpoint of another version of cmbench; remove it, or use --force")
    if (found := len(content["processes"])) != processes:
        raise UserError(f"{path}: a checkpoint of {found} processes, not {processes}; use as many, or --force")
    if content["device"] != device.type:
        raise UserError(f"{path}: a checkpoint made on {content['device']}, not {device.type}; --device, or --force")
    return content


def moved(carries: Any, device: torch.device) -> Any:
    """The tensors in lists and tuples, on `device`."""
    if isinstance(carries, (list, tuple)):
        return type(carries)(moved(item, device) for item in carries)
    return carries.to(device) if isinstance(carries, torch.Tensor) else carries


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of torch's generators that a training on `device` draws from."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Takes up what `random_state` has returned."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
