"""Results, weights and checkpoints of the version before are read, and its runs are not done again."""

import json
import shutil
from pathlib import Path

import pytest

BEFORE = Path(__file__).parent / "version_0.1.0"
LINE = ("train", "--suite", "wine", "--set", "epochs=4", "--set", "schedule=constant", "--threads", "1")
LINE = (*LINE, "--set", "telemetry.buffer=true")


@pytest.fixture
def upgraded(cmbench):
    """A folder whose results, of two finished runs and one that was stopped, are those of version 0.1.0."""
    shutil.copytree(BEFORE, cmbench.folder / "results")
    return cmbench


def test_runs_that_are_done_are_not_done_again(upgraded):
    again = upgraded(*LINE, "--opt", "adam_cm", "--opt", "adam", "--seeds", "1")
    assert "2 runs were finished before; nothing to do" in again.stderr
    assert "1 interrupted" in " ".join(upgraded("report").stdout.split())
    upgraded("sharpness", "wine/adam", "--set", "examples=20")
    upgraded("compare", "results", "results")


def test_a_checkpoint_is_gone_on_from(upgraded):
    again = upgraded(*LINE, "--opt", "adam_cm", "--seed", "1")
    assert "set aside" not in again.stderr
    upgraded(*LINE, "--opt", "adam_cm", "--seed", "1", "--out", "anew")
    resumed, anew = (
        next(
            json.loads(path.read_text())
            for path in (upgraded.folder / out).rglob("*.json")
            if '"seed": 1' in path.read_text()
        )
        for out in ("results", "anew")
    )
    assert resumed["id"] == anew["id"]
    assert resumed["status"] == "completed"
    assert resumed["curves"]["train_loss"] == pytest.approx(anew["curves"]["train_loss"], rel=1e-4)


def test_a_schema_that_has_grown_says_so(upgraded):
    (path,) = (upgraded.folder / "results" / "wine" / "adam").glob("*.json")
    path.write_text(path.read_text().replace("cmbench.result/1", "cmbench.result/2"))
    done = upgraded("report", code=4)
    assert f"{path.relative_to(upgraded.folder)}: a result of the schema 'cmbench.result/2'" in done.stderr
    assert "a later cmbench has written it?" in done.stderr
    before = path.read_bytes()
    refused = upgraded(*LINE, "--opt", "adam", "--seeds", "1", code=2)
    assert "cmbench.result/2" in refused.stderr
    assert path.read_bytes() == before, "what a later version has written is not overwritten"
