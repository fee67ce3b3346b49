"""What a run leaves on disk besides its result: where it was, so that it can go on, and its final weights."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from cmbench.errors import Unreadable, UserError
from cmbench.experiments.atomic import write_atomically


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors, numbers, strings and containers of them, whole or not at all.

    Raises `OSError` where it cannot be written: torch's own error does not say why.
    """
    refused: list[OSError] = []

    def write(file: IO[bytes]) -> None:
        try:
            torch.save(content, _Noting(file, refused))  # type: ignore[arg-type]  # it only writes
        except RuntimeError:
            if refused:
                raise refused[0] from None
            raise

    write_atomically(path, write)


MOST_ITEMS = 10_000_000
"""Of a checkpoint: tensors, numbers, texts and what they are in, each as often as it is there."""
PASSING = (OSError, MemoryError, torch.OutOfMemoryError)
"""What says nothing about a file: the disk or the memory of today."""


class _Noting:
    """A file that notes why it could not be written."""

    def __init__(self, file: IO[bytes], refused: list[OSError]) -> None:
        self._file, self._refused = file, refused

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self._refused.append(error)
            raise

    def flush(self) -> None:
        self._file.flush()


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote, on the CPU, every bit of it; raises `Unreadable` naming a file that is something else.

    Where the disk, or the memory, refuses: `OSError` or `MemoryError`.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch reads over the checksums that it writes
            if packed := [each.filename for each in archive.infolist() if each.compress_type != zipfile.ZIP_STORED]:
                raise ValueError(f"{packed[0]} is packed")
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} is damaged")
        content = torch.load(path, map_location="cpu", weights_only=True)
        _count(content)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except Exception as error:
        if isinstance(error, PASSING) and getattr(error, "errno", 0) != errno.EINVAL:  # a place that no file has
            raise
        # torch raises whatever its unpickler or zip reader meets first.
        raise Unreadable(f"{path}: not a checkpoint ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise Unreadable(f"{path}: not a checkpoint (it holds a {type(content).__name__})")
    return content


def _count(content: Any) -> None:
    """Raises `ValueError` for lists within lists that are the same ones: written out they would never end."""
    left, count = [content], 0
    while left:
        node = left.pop()
        count += 1
        if count > MOST_ITEMS:
            raise ValueError(f"more than {MOST_ITEMS:,} items")
        if isinstance(node, dict):
            left.extend(node.values())
        elif isinstance(node, (list, tuple, set)):
            left.extend(node)


def step_of(path: Path) -> int | None:
    """The step that a run's checkpoint was made at, without reading its tensors; None for a file that is none."""
    try:
        step = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["position"]["step"]
    except Exception:  # whatever torch's readers meet, or gone by now
        return None
    return step if isinstance(step, int) else None


def load_to_resume(path: Path, run: str, processes: int, device: torch.device) -> dict[str, Any]:
    """A checkpoint of the `run` to go on from.

    Raises `Unreadable` for what is none, and `UserError` for one of so many other `processes`, or made on another kind
    of device.
    """
    content = load(path)
    if missing := {"learner", "processes", "device", "telemetry", "position", "threads"} - content.keys():
        raise Unreadable(f"{path}: not a checkpoint of this version of cmbench (it lacks {', '.join(sorted(missing))})")
    if content.get("run", run) != run:
        raise Unreadable(f"{path}: a checkpoint of another run")
    parts, made_on = content["processes"], content["device"]
    if not (isinstance(parts, list) and parts) or not _is_kind_of_device(made_on):
        raise Unreadable(f"{path}: not a checkpoint (of no process, or made on {made_on!r})")
    if (found := len(parts)) != processes:
        raise UserError(f"{path}: a checkpoint of {found} processes, not {processes}; use as many, or --force")
    if made_on != device.type:
        raise UserError(f"{path}: a checkpoint made on {made_on}, not {device.type}; --device, or --force")
    return content


def _is_kind_of_device(name: Any) -> bool:
    """Whether torch knows devices of this kind, here or elsewhere."""
    try:
        return isinstance(name, str) and torch.device(name).type == name
    except RuntimeError:
        return False


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
