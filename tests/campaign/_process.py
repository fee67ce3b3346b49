"""The real command in processes that are forked from this one, where torch is loaded: they begin at once."""

from __future__ import annotations

import importlib
import json
import mmap
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

BEFORE, TRAINING, CHECKPOINT, RESULT, LEASE, AFTER = range(6)
PHASES = {
    BEFORE: "before a run",
    TRAINING: "while it trains",
    CHECKPOINT: "while a checkpoint or weights are written",
    RESULT: "while a result is written",
    LEASE: "while a lease is written",
    AFTER: "after the runs",
}


class Process:
    """A command that goes on; `phase` is what it is at."""

    def __init__(self, pid: int, phase: mmap.mmap, out: Path) -> None:
        self.pid, self._phase, self._out = pid, phase, out
        self.code: int | None = None

    @property
    def phase(self) -> int:
        """One of `PHASES`."""
        return self._phase[0]

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return (self._out / "stdout").read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        """What it has told."""
        return (self._out / "stderr").read_text(encoding="utf-8", errors="replace")

    def is_over(self) -> bool:
        """Whether it has ended; then `code` is its exit code, or minus the signal's number."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None, and it is killed, where it takes longer."""
        end = time.monotonic() + seconds
        while not self.is_over():
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                self.code = -9
                return None
            time.sleep(0.002)
        return self.code

    def send(self, number: int) -> None:
        """A signal, if it is still there."""
        if not self.is_over():
            os.kill(self.pid, number)


def start(
    arguments: Sequence[object], folder: Path, prepare: Callable[[], object] = lambda: None, memory: int = 0
) -> Process:
    """`cmbench …` in `folder`, in a session of its own; `prepare` is called in it before, `memory` limits its bytes."""
    phase = mmap.mmap(-1, 1)
    out = folder / f".out-{time.monotonic_ns()}"
    out.mkdir(parents=True)
    # A signal must find a child that is a command already, and not one that is still this process.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return Process(pid, phase, out)
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
        sys.stdout, sys.stderr = (open(n, "w", encoding="utf-8", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except KeyboardInterrupt:  # there is no command yet to look after it
            os._exit(130)
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        _watch(phase)
        prepare()
        code = _main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _main(arguments: Sequence[object]) -> int:
    from cmbench.cli.main import main

    sys.argv = ["cmbench", *map(str, arguments)]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _watch(phase: mmap.mmap) -> None:
    """Has the phases of the runs noted where the process that has started this one can see them."""
    from cmbench.experiments import lease, store
    from cmbench.training import checkpoint, runner

    def noted(function: Callable[..., Any], during: int) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            before = phase[0]
            phase[0] = during
            try:
                return function(*arguments, **named)
            finally:
                phase[0] = before

        return call

    checkpoint.write_atomically = noted(checkpoint.write_atomically, CHECKPOINT)
    store.write_bytes = noted(store.write_bytes, RESULT)
    lease._create = noted(lease._create, LEASE)
    runner.train = noted(runner.train, TRAINING)


def preload() -> None:
    """Loads here what every process needs."""
    for name in (
        *("cmbench.api", "cmbench.cli.main", "cmbench.landscapes.cells", "cmbench.report", "cmbench.workloads.wine"),
        *("sklearn.datasets", "sklearn.metrics", "sklearn.model_selection", "rich.progress"),
        *("torch._dynamo", "torch._inductor.config", "torch.onnx"),
    ):
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)


def outcomes(results: Path) -> dict[str, Any]:
    """What every run below a folder of results has come to: nothing that depends on when and where it ran."""
    found = {}
    for path in results.rglob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        found[f"{result['id']} {result['optimizer']['label']}"] = (
            result["status"],
            result["metrics"],
            result["curves"],
            result["lanes"],
        )
    return found


def leftovers(results: Path) -> list[str]:
    """Files that only a running command needs."""
    return [
        str(path.relative_to(results))
        for path in results.rglob("*")
        if path.is_file() and (path.name.endswith(".resume.pt") or not path.name.endswith((".json", ".pt")))
    ]


def at_work(folder: Path) -> list[int]:
    """Processes of which this is the current folder: whoever has started them, and in whatever session."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended
            if os.readlink(link) == str(folder):
                found.append(int(link.parent.name))
    return found
