"""A lease per run, in `ROOT/.leases`: of all processes on all machines that share the folder, one is at a run.

A lease is a file `RUNID.N`, made in one step that fails where the file is there. Who finds the owner of number N dead
makes number N + 1, which again only one succeeds in; the run belongs to the highest number. Nothing is locked, so a
network file system will do. The owner writes the file anew every few seconds: its heartbeat. It is never removed before
the run has a final result.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from cmbench.errors import UserError
from cmbench.experiments.atomic import is_abandoned, temporary_file, write_bytes
from cmbench.experiments.frozen import Frozen
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.process import Process, this_process
from cmbench.experiments.result import RunId
from cmbench.experiments.text import all_printable

HEARTBEAT_SECONDS = 5.0
DEAD_SECONDS = 60.0
"""An owner on another machine that was not heard of for so long is dead."""
FOLDER = ".leases"
_STOP = "stop"
"""What is asked of everybody; with a run before it, of its owner."""
_TEMPORARY = ".new-"


class Record(Frozen):
    """What a lease says: whose it is, of which run, on what device, and how far it is."""

    run: RunId
    suite: str
    label: str
    seed: int
    owner: Process
    device: str
    step: int = 0
    total_steps: int | None = None
    began_at_step: int = 0
    """Where this owner went on from."""
    state: Literal["running", "ended"] = "running"
    """`ended`: its owner has given the run back, unfinished."""


class LeaseLost(Exception):
    """Another process has taken the run over: this one must write nothing more of it."""


class Held(NamedTuple):
    """A run's latest lease, and whether its owner is still at the run."""

    record: Record
    is_live: bool


class Leases:
    """The leases on runs whose results are kept in `root`."""

    def __init__(self, root: Path | str) -> None:
        self.folder = Path(root) / FOLDER
        self._began: float | None = None

    def take(self, spec: RunSpec, device: str) -> Lease | None:
        """The lease on the run of `spec`; None where a living process holds it. Raises `UserError` where none can be
        written.
        """
        record = Record(
            run=spec.id,
            suite=spec.suite.name,
            label=spec.label,
            seed=spec.seed,
            owner=this_process(),
            device=device,
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tidy()
            while True:
                number = self._latest(spec.id)
                if number and self._is_live(self._path(spec.id, number), self._now()):
                    return None
                if _create(self._path(spec.id, number + 1), record):
                    return Lease(self, record, number + 1)
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be written (--out): {error.strerror}") from None

    def is_held(self, run: str) -> bool:
        """Whether a living process is at the run with this id."""
        number = self._latest(run)
        return bool(number) and self._is_live(self._path(run, number), self._now())

    def all(self) -> dict[str, Held]:
        """The latest lease of every run that has one, by the run's id."""
        latest: dict[str, int] = {}
        for run, number in self._names():
            latest[run] = max(number, latest.get(run, 0))
        now = self._now() if latest else 0.0
        found = {}
        for run, number in latest.items():
            record, is_live = self._look(self._path(run, number), now)
            if record:
                found[run] = Held(record, is_live)
        return found

    def forget(self, run: str) -> None:
        """Removes every lease of a run that has a final result, the latest last."""
        for number in sorted(number for name, number in self._names() if name == run):
            self._path(run, number).unlink(missing_ok=True)
        (self.folder / f"{run}.{_STOP}").unlink(missing_ok=True)

    def forget_finished(self, runs: Container[str]) -> None:
        """Removes what owners that died have left: leases of those of the `runs`, all finished, and half a file."""
        for run, held in self.all().items():
            if run in runs and not held.is_live:
                self.forget(run)
        self._tidy()

    def leftovers(self) -> list[Path]:
        """Files of owners that died while they wrote a lease."""
        return [path for path in self.folder.glob(".*.tmp") if is_abandoned(path)]

    def _tidy(self) -> None:
        for leftover in self.leftovers():
            leftover.unlink(missing_ok=True)

    def ask_to_stop(self, run: str | None = None) -> None:
        """Asks whoever is at the run, or every command that uses the folder now, to save and end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / (f"{run}.{_STOP}" if run else _STOP)).touch()

    def watch(self) -> None:
        """From now on, `stopping` says whether all commands are asked to stop."""
        self._began = self._now()

    @property
    def stopping(self) -> bool:
        """Whether every command was asked to stop since this one began to `watch`."""
        return self._began is not None and self.asked_after(_STOP, self._began)

    def asked_after(self, name: str, moment: float) -> bool:
        """Whether the file `name` of the folder was touched after a moment of its file system's clock."""
        try:
            return (self.folder / name).stat().st_mtime > moment
        except OSError:
            return False

    def _path(self, run: str, number: int) -> Path:
        return self.folder / f"{run}.{number}"

    def _names(self) -> Iterator[tuple[str, int]]:
        try:
            names = os.listdir(self.folder)
        except OSError:
            return
        for name in names:
            run, _, number = name.partition(".")
            if run and number.isdigit():
                yield run, int(number)

    def _latest(self, run: str) -> int:
        return max((number for name, number in self._names() if name == run), default=0)

    def _is_live(self, path: Path, now: float) -> bool:
        return self._look(path, now)[1]

    def _look(self, path: Path, now: float) -> tuple[Record | None, bool]:
        """What a lease says, and whether its owner is at the run."""
        try:
            with open(path, "rb") as file:  # what is opened is not an older state out of a network's cache
                age, text = now - os.fstat(file.fileno()).st_mtime, file.read()
        except OSError:
            return None, False
        try:
            record = Record.model_validate(all_printable(json.loads(text)))
        except (ValueError, RecursionError):  # half written, where a file system cannot do better
            return None, age < DEAD_SECONDS
        if record.state == "ended":
            return record, False
        return record, record.owner.is_alive if record.owner.is_here else age < DEAD_SECONDS

    def _now(self) -> float:
        """By the clock of the folder's file system, which stamps the heartbeats."""
        try:
            with temporary_file(self.folder, _TEMPORARY) as file:
                return os.fstat(file.fileno()).st_mtime
        except OSError:
            return time.time()


class Lease:
    """The lease that this process holds on a run, from `Leases.take` until it is closed; a context manager.

    A thread writes its heartbeat. At its end the run is given back, so that anybody may go on with it, or, when
    `finished` was set, every lease of the run is removed.
    """

    def __init__(self, leases: Leases, record: Record, number: int) -> None:
        self.finished = False
        self._leases, self._record, self._number = leases, record, number
        self._path = leases._path(record.run, number)
        self._taken = self._path.stat().st_mtime
        self._ended = False
        self._wake = threading.Event()
        self._stop_requested = False
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._wake.set()
        self._thread.join()
        with contextlib.suppress(OSError, LeaseLost):
            self.verify()
            if self.finished:
                self._leases.forget(self._record.run)
            else:
                self._write(state="ended")

    @property
    def stop_requested(self) -> bool:
        """Whether this run, or every command, was asked to stop since; known within about a second."""
        return self._stop_requested

    def verify(self) -> None:
        """Raises `LeaseLost` where the run belongs to another process by now."""
        if not self._path.exists() or self._leases._path(self._record.run, self._number + 1).exists():
            raise LeaseLost(f"run {self._record.run} was taken over")

    def began(self, step: int, total_steps: int) -> None:
        """Where the run goes on from, of how many steps; others read it at once."""
        self._record = self._record.model_copy(update={"step": step, "began_at_step": step, "total_steps": total_steps})
        self._wake.set()

    def note(self, step: int) -> None:
        """How far the run is; others read it with the next heartbeat."""
        self._record = self._record.model_copy(update={"step": step})

    def _beat(self) -> None:
        beaten = time.monotonic()
        stop = f"{self._record.run}.{_STOP}"
        while True:
            at_once = self._wake.wait(1.0)
            if self._ended:
                return
            self._wake.clear()
            if any(self._leases.asked_after(name, self._taken) for name in (stop, _STOP)):
                self._stop_requested = True
            if at_once or time.monotonic() - beaten >= HEARTBEAT_SECONDS:
                beaten = time.monotonic()
                with contextlib.suppress(OSError, LeaseLost):  # a full disk today may have room tomorrow
                    self.verify()
                    self._write()

    def _write(self, **changes: str) -> None:
        write_bytes(self._path, self._record.model_copy(update=changes).model_dump_json().encode())


def _create(path: Path, record: Record) -> bool:
    """Makes the file whole, in one step; False where it is there."""
    text = record.model_dump_json().encode()
    with temporary_file(path.parent, _TEMPORARY) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
            return True
        except FileExistsError:
            # A network may repeat a link that has succeeded: then this file has two names.
            return os.fstat(file.fileno()).st_nlink == 2
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
                raise
    try:
        with open(path, "xb") as file:  # a file system without links
            file.write(text)
    except FileExistsError:
        return False
    return True
