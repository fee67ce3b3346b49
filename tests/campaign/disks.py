"""Disks that are full, broken or read-only, clocks that jump, folders that go away under a running command."""

from __future__ import annotations

import builtins
import errno
import itertools
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.campaign._process import PHASES, start
from tests.campaign.attack import Attack, Outcome
from tests.campaign.kills import BITS, PATIENCE, RUNS, _judged, _undisturbed, _until

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)
_TRACES = ("Traceback (most recent call last)", "a fault of cmbench")


class _Breaking:
    """Has the n-th of all operations that write fail, and every one after it where `for_good`."""

    def __init__(self, folder: Path, which: int, error: int, for_good: bool) -> None:
        self.folder, self.which, self.error, self.for_good = str(folder), which, error, for_good
        self.done = 0

    def __call__(self) -> None:
        for name in ("mkdir", "replace", "link", "unlink", "fsync"):
            setattr(os, name, self._guarded(getattr(os, name)))
        self.open = builtins.open
        builtins.open = self._open  # type: ignore[assignment]

    def _count(self) -> None:
        self.done += 1
        if self.done == self.which or (self.for_good and self.done > self.which):
            (Path(self.folder) / "reached").touch()
            raise OSError(self.error, os.strerror(self.error))

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._count()
            return function(*arguments, **named)

        return call

    def _open(self, file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if not {*"wax"} & {*mode} or not str(file).startswith(f"{self.folder}/"):
            return self.open(file, mode, *arguments, **named)
        self._count()
        opened = self.open(file, mode, *arguments, **named)
        if "b" in mode:
            write = opened.write

            def counted(data: Any) -> Any:
                self._count()
                return write(data)

            return _Written(opened, counted)
        return opened


class _Written:
    def __init__(self, file: Any, write: Callable[[Any], Any]) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def broken_disk(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """Each operation that writes fails, one after the other, until a run comes to its end before the n-th."""
    truth = _undisturbed(folder / "truth")
    for which in itertools.cycle(rng.sample(range(1, 201), 200)):
        error, for_good = rng.choice(ERRORS), rng.random() < 0.3
        place = folder / "attacked"
        place.mkdir()
        process = start((*RUNS, "--out", place / "results"), place, _Breaking(place, which, error, for_good))
        code = process.wait(PATIENCE)
        said = f"{errno.errorcode[error]} at write {which}{' and all after it' if for_good else ''}"
        lost = None
        if code not in (0, 2, 3) or any(trace in process.stderr for trace in _TRACES):
            lost = f"{said}: exit code {code}: {process.stderr[-1500:]}"
        elif code and os.strerror(error) not in process.stderr + process.stdout.replace("\n", " "):
            lost = f"{said}: exit code {code}, and not why: {process.stderr[-800:]}"
        where = f"exit code {code}" if (place / "reached").exists() else "not reached"
        yield Outcome(lost or _judged(place, truth, said), where)
        shutil.rmtree(place, ignore_errors=True)


def small_disk(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """A file system of memory that is too small for all of it."""
    truth = _undisturbed(folder / "truth")
    place = folder / "attacked"
    place.mkdir()
    while True:
        size = rng.choice([8, 16, 24, 32, 48, 64, 96, 128, 192, 256])
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place)], capture_output=True, text=True
        )
        if mounted.returncode:
            raise RuntimeError(f"no file system can be mounted here: {mounted.stderr}")
        try:
            process = start((*RUNS, "--out", place / "results"), folder)
            code = process.wait(PATIENCE)
            said, lost = f"a disk of {size} kB", None
            if code not in (0, 2, 3) or any(trace in process.stderr for trace in _TRACES):
                lost = f"{said}: exit code {code}: {process.stderr[-1500:]}"
            subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
            yield Outcome(lost or _judged(place, truth, said), f"exit code {code}")
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)


def folder_that_goes(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """The folder of the results is renamed or removed while the runs go on."""
    truth = _undisturbed(folder / "truth")
    while True:
        place = folder / "attacked"
        process = start(RUNS, place)
        _until(rng, process)
        how, where = rng.choice(["renamed", "removed"]), PHASES[process.phase]
        results = place / "results"
        if results.exists():
            if how == "renamed":
                results.rename(place / f"elsewhere{time.monotonic_ns()}")
            else:
                shutil.rmtree(results, ignore_errors=True)
        code = process.wait(PATIENCE)
        said = f"{how} {where}"
        lost = None
        if code not in (0, 2, 3) or any(trace in process.stderr for trace in _TRACES):
            lost = f"{said}: exit code {code}: {process.stderr[-1500:]}"
        yield Outcome(lost or _judged(place, truth, said), where)
        shutil.rmtree(place, ignore_errors=True)


def clock_that_jumps(rng: random.Random, folder: Path) -> Iterator[Outcome]:
    """The clock goes back and forth by up to a month while two commands share their runs."""
    truth = _undisturbed(folder / "truth")
    while True:
        place, seed = folder / "attacked", rng.random()

        def jump(seed: float = seed) -> None:
            draws, real = random.Random(seed), time.time
            time.time = lambda: real() + draws.choice([0, 0, 0, 3600, -3600, 86400 * 30, -86400 * 30])

        processes = [start(RUNS, place, jump) for _ in range(2)]
        codes = [process.wait(PATIENCE) for process in processes]
        bad = [f"{code}: {p.stderr[-800:]}" for p, code in zip(processes, codes, strict=True) if code != 0]
        yield Outcome(f"exit codes {bad}" if bad else _judged(place, truth, "clock"))
        shutil.rmtree(place, ignore_errors=True)


SAID = f"no traceback, exit code 0, 2 or 3 with path and cause; with room again {BITS}"
ATTACKS = (
    Attack("A disk that fails (ENOSPC, EIO, EROFS) at the n-th write", SAID, 200, broken_disk),
    Attack("A disk that is too small (tmpfs)", SAID, 40, small_disk),
    Attack("The results folder is renamed or removed", SAID, 60, folder_that_goes),
    Attack("A clock that jumps, two processes on one folder", BITS, 20, clock_that_jumps),
)
