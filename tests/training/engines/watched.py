"""A command that trains somewhere else, watched by the leases that its runs are trained under."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cmbench.experiments.lease import FOLDER, Record

SHORT = ("train", "--suite", "digits", "--opt", "adam", "--opt", "adam_cm", "--seeds", "1", "--threads", "1")
SHORT = (*SHORT, "--set", "epochs=2", "--set", "schedule=constant")
LONG = ("train", "--suite", "digits", "--opt", "adam", "--threads", "1", "--set", "epochs=40")
LONG = (*LONG, "--set", "schedule=constant", "--set", "checkpoint.every_steps=20")


def outcomes(folder: Path) -> dict[str, tuple[Any, ...]]:
    """What of every run's result depends on nothing but the run and its threads."""
    found = {}
    for path in folder.rglob("*.json"):
        result = json.loads(path.read_text())
        found[result["id"]] = (result["status"], result["metrics"], result["curves"], result["environment"]["threads"])
    return found


class Watched:
    """A command's process, and every lease seen in its folder `results`, in the order in which they were taken."""

    def __init__(self, line: list[str], folder: Path) -> None:
        self.folder = folder
        self.leases: dict[str, dict[int, Record]] = {}
        self.process = subprocess.Popen(
            line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def until(self, true: Callable[[], object], seconds: float = 240) -> None:
        """Watches until it is so; the command must not end before."""
        deadline = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline, self.leases
            self._look()

    def ended(self, code: int = 0, seconds: float = 240) -> str:
        """What it has said on stderr, when it has ended with that code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.leases
            self._look()
        _, err = self.process.communicate()
        assert self.process.returncode == code, err
        return err

    def checkpoints(self) -> list[Path]:
        """Those of its runs."""
        return list(self.folder.rglob("*.resume.pt"))

    def interrupt(self) -> None:
        """Ctrl-C: a terminal sends it to every process of the command."""
        os.killpg(self.process.pid, signal.SIGINT)

    def _look(self) -> None:
        for path in (self.folder / "results" / FOLDER).glob("[!.]*.[0-9]*"):
            run, _, number = path.name.partition(".")
            try:
                self.leases.setdefault(run, {})[int(number)] = Record.model_validate_json(path.read_bytes())
            except (OSError, ValueError):
                continue
        time.sleep(0.05)
