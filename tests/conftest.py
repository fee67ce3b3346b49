"""What tests of several rooms share: the real command, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


class Command:
    """`cmbench …` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs it and checks the exit code; stdout and stderr are in what is returned."""
        done = subprocess.run(self.line(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def line(self, *arguments: str) -> list[str]:
        """The command line, for a test that starts the process itself."""
        return [sys.executable, "-m", "cmbench", *map(str, arguments)]

    def files(self, pattern: str = "**/*") -> list[Path]:
        """Every file below the folder that matches, ordered."""
        return sorted(path for path in self.folder.glob(pattern) if path.is_file())

    def results(self) -> list[dict[str, Any]]:
        """Every result that the command has stored."""
        return [json.loads(path.read_text()) for path in self.files("results/**/*.json")]


@pytest.fixture
def cmbench(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture(scope="module")
def shared_cmbench(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One folder for the tests of a module that only read what an earlier command wrote."""
    return Command(tmp_path_factory.mktemp("cmbench"))
