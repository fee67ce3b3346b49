"""The examples run as they are written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[1] / "examples"


def environment(folder):
    """A PATH on which `cmbench` and `python3` are those under test."""
    tools = folder / "bin"
    tools.mkdir()
    for name, line in (
        ("cmbench", f'exec "{sys.executable}" -m cmbench "$@"'),
        ("python3", f'exec "{sys.executable}" "$@"'),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    (tools / "python").symlink_to(tools / "python3")
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}


@pytest.mark.long
def test_the_sweep_ranks_every_point_and_repeats_nothing(tmp_path):
    settings = environment(tmp_path) | {"LRS": "1e-3 1e9", "CAPACITIES": "2 5", "SUITE": "digits"}
    line = [EXAMPLES / "sweep.sh", "--seeds", "1", "--set", "epochs=1", "--set", "schedule=constant"]
    first = subprocess.run(line, cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    rows = first.stdout.splitlines()
    assert sorted(row.partition(" ")[2] for row in rows) == [
        "lr=1e-3 capacity=2", "lr=1e-3 capacity=5", "lr=1e9 capacity=2", "lr=1e9 capacity=5",
    ]  # fmt: skip
    assert float(rows[0].split()[0]) > 50
    assert rows[-1].startswith("0 lr=1e9")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").rglob("*.pt")}
    assert len(before) == 4  # the last weights and the best
    again = subprocess.run(line, cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert again.stdout == first.stdout
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


@pytest.mark.long
def test_the_steps_of_the_regression_gate_run(tmp_path):
    steps = yaml.safe_load((EXAMPLES / "ci.yml").read_text())["jobs"]["digits"]["steps"]
    settings = environment(tmp_path) | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    for step in steps:
        if "run" not in step or step["run"].startswith("pip "):
            continue
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=settings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "| Adam+CM" in (tmp_path / "summary.md").read_text()
