"""`--on ray`: one task per run on a Ray cluster, which starts it again when the node under it dies."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from cmbench.errors import UserError
from cmbench.training.engines.elsewhere import Died, Ended, Fleet, Launch, Spec, work
from cmbench.training.interrupt import Interrupt
from cmbench.training.runner import Runner
from cmbench.training.tracking.registry import ENVIRONMENT

_RETRIES = 10
"""How often a run is begun again after nodes, or its process, have died under it."""
_REACHED_WITHIN_SECONDS = 10.0


def on_ray(address: str | None, device: str | None, threads: int) -> Launch:
    """A fleet of tasks with so many CPUs each on the cluster at `address`.

    Without an address it is the one of `$RAY_ADDRESS`, else this machine's, else one of this machine that ends with the
    runs. With `device` `cuda`, or without one where the cluster has GPUs, each task gets one. Raises `UserError`
    without Ray, or without the cluster.
    """
    try:
        import ray  # noqa: F401
    except ImportError:
        raise UserError('--on ray needs Ray: pip install "cmbench[ray]"') from None

    @contextmanager
    def launch(runner: Runner, specs: Sequence[Spec]) -> Iterator[Fleet]:
        with _connected(address) as gpus:
            yield _Tasks(runner, specs, device or ("cuda" if gpus else "cpu"), threads)

    return launch


@contextmanager
def _connected(address: str | None) -> Iterator[float]:
    """Connected with the cluster, of which it gives the number of GPUs; as it is where the caller has done that."""
    import ray

    if ray.is_initialized():
        yield _gpus()
        return
    _check_reachable(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    before = signal.getsignal(signal.SIGTERM)
    with _quiet():
        try:
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"--on ray{f':{address}' if address else ''}: {' '.join(str(error).split())}") from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray takes it
        try:
            yield _gpus()
        finally:
            ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the states of dead nodes, which Ray prints into the driver whatever it is told of logging."""
    from ray._private import worker

    before = getattr(worker, "print_to_stdstream", None)
    setattr(worker, "print_to_stdstream", lambda *_, **__: None)  # noqa: B010
    try:
        yield
    finally:
        if before:
            setattr(worker, "print_to_stdstream", before)  # noqa: B010


def _check_reachable(address: str | None) -> None:
    """Ray itself would try for minutes. What is no `HOST:PORT`, as `auto`, it finds by itself."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), _REACHED_WITHIN_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise UserError(f"--on ray:{address}: no cluster there: {error}") from None


def _gpus() -> float:
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources.get("GPU", 0.0)


class _Tasks:
    """A task per run."""

    def __init__(self, runner: Runner, specs: Sequence[Spec], device: str, threads: int) -> None:
        import ray

        options: dict[str, Any] = {"num_cpus": threads, "num_gpus": int(device == "cuda"), "max_retries": _RETRIES}
        task: Any = ray.remote(**options)(_task)
        packed = ray.put(pickle.dumps(replace(runner, device=torch.device(device))))
        given = ("CMBENCH_", *ENVIRONMENT)
        settings = {name: value for name, value in os.environ.items() if name.startswith(given)}
        self._running = {task.remote(packed, spec, threads, Path.cwd(), settings): spec for spec in specs}

    def ended(self) -> Iterator[tuple[Spec, Ended | Died]]:
        import ray

        if not self._running:
            return
        done, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        for task in done:
            yield self._running.pop(task), _outcome(task)

    def cancel(self, runs: Collection[str]) -> None:
        import ray

        for task, spec in self._running.items():
            if spec.id in runs:
                ray.cancel(task)


def _outcome(task: Any) -> Ended | Died:
    import ray.exceptions

    try:
        ended: Ended = ray.get(task)
        return ended
    except ray.exceptions.RayTaskError as error:
        return Died(f"{type(error.cause).__name__}: {error.cause}", str(error))
    except ray.exceptions.RayError as error:
        first = str(error).strip().partition("\n")[0]
        return Died(f"{type(error).__name__}: {first}")


# In a task


def _task(packed: bytes, spec: Spec, threads: int, folder: Path, settings: dict[str, str]) -> Ended:
    os.environ.update(settings)
    os.chdir(folder)
    return work(_unpacked(packed), spec, threads, Interrupt())


@lru_cache(maxsize=1)
def _unpacked(runner: bytes) -> Runner:
    """The runner, once for all runs of a process: it keeps the data."""
    made: Runner = pickle.loads(runner)
    return made
