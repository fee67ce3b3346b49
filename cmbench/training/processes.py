"""The processes that train one model together, as `torchrun` starts them; or the only one."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from cmbench.errors import UserError
from cmbench.experiments.environment import pick_device
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result
from cmbench.experiments.store import ResultStore, Stored
from cmbench.workloads.metrics import Shard

Gives = TypeVar("Gives")


class Processes:
    """This process, number `rank` of `size`."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def shard(self) -> Shard:
        """What of every batch is this process's."""
        return Shard(self.rank, self.size)

    @property
    def is_main_process(self) -> bool:
        """Whether this one writes and prints for all."""
        return self.rank == 0

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """The sum of what every process gives; the same on each."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def gather(self, item: Any) -> list[Any]:
        """What every process gives, in their order."""
        items = [item] * self.size
        if self.size > 1:
            dist.all_gather_object(items, item)
        return items

    def broadcast(self, item: Any) -> Any:
        """What the first process gives."""
        return self.gather(item)[0]


ALONE = Processes()


def is_main_process() -> bool:
    """Whether this one prints for all, by what `torchrun` has put into the environment."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: str | None) -> Iterator[tuple[Processes, torch.device]]:
    """The processes of this run and this one's device, by default a GPU of its own if there is one.

    Reads what `torchrun` has put into the environment (RANK, WORLD_SIZE, LOCAL_RANK). Where `torchrun` itself was
    killed it raises `UserError`; where that happens later this process ends, as after SIGTERM, or at once while it
    waits here.
    """
    size = int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1
    if size == 1:
        yield ALONE, pick_device(device)
        return
    if device == "cuda" or (device is None and torch.cuda.is_available()):
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    target = pick_device(device)
    if target.type == "cuda":
        torch.cuda.set_device(target)
    together = threading.Event()
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        _follow_launcher(together)
    dist.init_process_group("nccl" if target.type == "cuda" else "gloo")
    together.set()
    try:
        yield Processes(dist.get_rank(), size), target
    finally:
        dist.destroy_process_group()


def _follow_launcher(together: threading.Event) -> None:
    """From now on this process ends with `torchrun`, in whose store the others are waited for: for half an hour."""
    launcher = os.getppid()
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        socket.create_connection(place, timeout=60).close()
    except OSError as error:
        raise UserError(f"torchrun has ended: {place[0]}:{place[1]}: {error.strerror or error}") from None

    def follow() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        if not together.is_set():
            os._exit(130)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()


class SharedStore(ResultStore):
    """A store that the first process reads and writes for all: what it finds, they find."""

    def __init__(self, root: Path, processes: Processes) -> None:
        super().__init__(root)
        self._processes = processes

    def find(self, spec: RunSpec) -> Result | None:
        return self._for_all(partial(super().find, spec))

    def set_aside(self, spec: RunSpec) -> Path:
        return self._for_all(partial(super().set_aside, spec))

    def find_equal(self, spec: RunSpec, *, anew: bool = False) -> Stored | None:
        return self._for_all(partial(super().find_equal, spec, anew=anew))

    def check(self, specs: Sequence[RunSpec]) -> None:
        self._for_all(partial(super().check, specs))

    def take_over(self, spec: RunSpec, result: Result, equal: Path) -> Path:
        return self._for_all(partial(super().take_over, spec, result, equal))

    def save(self, spec: RunSpec, result: Result) -> Path:
        return self._for_all(partial(super().save, spec, result))

    def _for_all(self, call: Callable[[], Gives]) -> Gives:
        """What the first process is given by the call, or what it raises."""
        given: Gives | UserError | OSError | None = None
        if self._processes.is_main_process:
            try:
                given = call()
            except (UserError, OSError) as error:
                given = error
        given = self._processes.broadcast(given)
        if isinstance(given, Exception):
            raise given
        return cast(Gives, given)
