"""The proof, on this machine, that a killed training ends bit for bit like one that was never killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cmbench.errors import UserError
from cmbench.experiments.files import RESUME, WEIGHTS
from cmbench.experiments.result import Result
from cmbench.experiments.store import ResultStore
from cmbench.training import checkpoint


@dataclass(frozen=True)
class Proof:
    """What came out: the run, after which step it was killed, and in what the two ends differ.

    `compared` counts the numbers of curves and metrics that were compared, `parameters` those of the weights.
    """

    run: str
    steps: int
    killed_after: int
    compared: int
    parameters: int
    differences: tuple[str, ...]


def prove_resume(arguments: Sequence[str], steps: int) -> Proof:
    """Trains `cmbench train ARGUMENTS` for `steps` steps twice, in real processes in a temporary folder.

    The second training is killed (SIGKILL) at the first checkpoint in its second half, and started again. `arguments`
    must plan a single run. Raises `UserError` with its output when a training fails.
    """
    with tempfile.TemporaryDirectory() as name:
        whole, cut = Path(name, "whole"), Path(name, "cut")
        line = [sys.executable, "-m", "cmbench", "train", *arguments, "--quiet", "--set", f"max_steps={steps}"]
        line += ["--set", f"checkpoint.every_steps={max(1, steps // 10)}", "--out"]
        _finish([*line, str(whole)])
        killed_after = _kill([*line, str(cut)], cut, steps // 2)
        _finish([*line, str(cut)])
        return _compare(whole, cut, killed_after)


def _finish(line: Sequence[str]) -> None:
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise _ended(done.returncode, done.stderr)


def _ended(code: int, output: str) -> UserError:
    lines = (line.removeprefix("cmbench: ") for line in output.splitlines())
    return UserError("\n".join((f"the training ended with code {code}:", *lines)))


def _kill(line: Sequence[str], out: Path, after: int) -> int:
    """Starts a training, kills it once its checkpoint is of step `after` or a later one; returns that step."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None:
            for path in out.rglob(f"*{RESUME}"):
                # It may be replaced between being found and being read, never be half written.
                process.send_signal(signal.SIGSTOP)
                step = checkpoint.load(path)["position"]["step"] if path.exists() else 0
                if step >= after:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    return step
                process.send_signal(signal.SIGCONT)
            time.sleep(0.002)
    finally:
        process.kill()
    if process.returncode:
        raise _ended(process.returncode, process.stderr.read() if process.stderr else "")
    raise UserError(f"the training ended before it could be killed after step {after}: more steps would help")


def _compare(whole: Path, cut: Path, killed_after: int) -> Proof:
    (path, one), (other_path, other) = (_only(folder) for folder in (whole, cut))
    numbers = [_flat({"metrics": result.metrics, "curves": result.curves}) for result in (one, other)]
    weights = [checkpoint.load(p.with_suffix(WEIGHTS))["model"] for p in (path, other_path)]
    differences = [key for key in numbers[0] | numbers[1] if numbers[0].get(key) != numbers[1].get(key)]
    differences += [key for key, tensor in weights[0].items() if not torch.equal(_bits(tensor), _bits(weights[1][key]))]
    parameters = sum(tensor.numel() for tensor in weights[0].values())
    label = f"{one.suite.name} {one.label} seed {one.seed}"
    return Proof(
        label, one.cost.steps if one.cost else 0, killed_after, len(numbers[0]), parameters, tuple(differences)
    )


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _only(folder: Path) -> tuple[Path, Result]:
    results = list(ResultStore(folder).results())
    if len(results) != 1:
        raise UserError(f"{len(results)} runs: accepted: one optimizer (--opt)")
    return results[0]


def _flat(values: Any, name: str = "") -> dict[str, Any]:
    if isinstance(values, dict):
        return {key: item for outer, inner in values.items() for key, item in _flat(inner, f"{name}{outer}.").items()}
    if isinstance(values, list):
        return {key: item for i, inner in enumerate(values) for key, item in _flat(inner, f"{name}{i}.").items()}
    return {name.rstrip("."): values}
