"""Which worker gets which device and which processors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from cmbench.errors import UserError
from cmbench.experiments.environment import pick_device
from cmbench.experiments.settings import MOST_THREADS

MEMORY_PER_JOB = 2 * 2**30
"""Bytes that `auto` reckons with for a training on a CPU."""


@dataclass(frozen=True)
class Place:
    """Where a worker trains: its device, and the processors that it keeps to; all of them where none is named."""

    device: str
    cores: tuple[int, ...] = ()


@dataclass(frozen=True)
class Workers:
    """The place of each worker, and the threads of each."""

    places: tuple[Place, ...]
    threads: int


def workers_of(
    device: str | None, devices: Sequence[str], jobs: int | Literal["auto"] | None, threads: int | None
) -> Workers:
    """The workers that are asked for, on this machine; raises `UserError` for a device that is not there.

    Devices are `device`, else `devices`, else, where several workers are asked for, every visible GPU.
    """
    if device and devices:
        raise UserError("--device and --devices: accepted: one of them")
    for name in devices:
        pick_device(name)
    try:
        torch.device(device or "cpu")  # one that is not here may be planned for
    except RuntimeError as error:
        raise UserError(f"--device {device}: {str(error).splitlines()[0]}") from None
    if (threads or 1) > MOST_THREADS:
        raise UserError(f"--threads {threads}: accepted: 1 to {MOST_THREADS}")
    if devices:
        chosen = list(devices)
    elif device or not torch.cuda.is_available():
        chosen = [device or "cpu"]
    else:
        chosen = ["cuda"] if jobs in (None, 1) else [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    cores = _own_cores()
    if jobs == "auto":
        jobs = jobs_that_fit(chosen, len(cores), threads or 1, _memory())
    jobs = jobs or len(chosen)
    threads = threads or max(1, torch.get_num_threads() // jobs)
    return Workers(tuple(places(jobs, chosen, cores, threads)), threads)


def places(jobs: int, devices: Sequence[str], cores: Sequence[int], threads: int) -> list[Place]:
    """A place for each of `jobs` workers of so many threads: devices in turn, on CPUs processors of their own.

    Workers on CPUs get equal, disjoint, contiguous parts of `cores`, unless such a part has fewer than `threads`.
    """
    share = len(cores) // jobs
    pinned = jobs > 1 and _on_cpus(devices) and share >= threads
    return [
        Place(devices[job % len(devices)], tuple(cores[job * share : (job + 1) * share]) if pinned else ())
        for job in range(jobs)
    ]


def jobs_that_fit(devices: Sequence[str], cores: int, threads: int, memory: int) -> int:
    """As many workers as use this machine whole: one per GPU; on CPUs as its processors and `memory` in bytes allow."""
    return max(1, min(cores // threads, memory // MEMORY_PER_JOB)) if _on_cpus(devices) else len(devices)


def keep_to(cores: Sequence[int]) -> None:
    """Binds this process to the processors, where there are any and the system can do that."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _on_cpus(devices: Sequence[str]) -> bool:
    return all(device.partition(":")[0] == "cpu" for device in devices)


def _own_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
