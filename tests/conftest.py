"""What tests of several rooms share: the real command, run as a user runs it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Done:
    """What a command has printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


class Command:
    """`cmbench …` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: object, code: int = 0) -> Done:
        """Runs it in this process and checks the exit code."""
        return self._checked(self.run(*arguments), code)

    def run(self, *arguments: object) -> Done:
        """Runs it in this process, which spares loading torch; modules of the folder are found, and forgotten."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            patch.syspath_prepend(self.folder)
            patch.setattr(sys, "argv", ["cmbench", *map(str, arguments)])
            returncode = _main()
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{self.folder}/"):
                del sys.modules[name]
        return Done(returncode, out.getvalue(), err.getvalue())

    def process(self, *arguments: object, code: int = 0) -> Done:
        """Runs it in a process of its own, where that is what is tested."""
        done = subprocess.run(self.line(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=300)
        return self._checked(Done(done.returncode, done.stdout, done.stderr), code)

    def _checked(self, done: Done, code: int) -> Done:
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def line(self, *arguments: object) -> list[str]:
        """The command line, for a test that starts the process itself."""
        return [sys.executable, "-m", "cmbench", *map(str, arguments)]

    def files(self, pattern: str = "**/*") -> list[Path]:
        """Every file below the folder that matches, ordered."""
        return sorted(path for path in self.folder.glob(pattern) if path.is_file())

    def results(self) -> list[dict[str, Any]]:
        """Every result that the command has stored."""
        return [json.loads(path.read_text()) for path in self.files("results/**/*.json")]


def _main() -> int:
    from cmbench.cli.main import main

    threads = _threads()
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
    return 0


def _threads() -> int | None:
    """torch's threads, which a command may change, where torch is loaded."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


@pytest.fixture
def cmbench(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture(scope="module")
def shared_cmbench(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One folder for the tests of a module that only read what an earlier command wrote."""
    return Command(tmp_path_factory.mktemp("cmbench"))
