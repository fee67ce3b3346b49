"""`--track`: what it refuses before anything is trained, and that a tracker that fails later ends no training."""

import sys

import pytest

from .conftest import SHORT, TRAIN
from .server import server


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("mlfow", "--track: unknown tracker 'mlfow': did you mean 'mlflow'? accepted: mlflow, wandb, tensorboard"),
        ("tensorboard:", "accepted: tensorboard or tensorboard:WHERE, with a folder as WHERE"),
        ("wandb:a/b/c", "--track wandb:a/b/c: accepted: wandb:[ENTITY/]PROJECT"),
    ],
)
def test_what_is_no_tracker_is_refused(cmbench, value, words):
    assert words in cmbench(*TRAIN, "--track", value, code=2).stderr
    assert cmbench.files() == []


@pytest.mark.parametrize(
    ("name", "package"),
    [("mlflow", "mlflow"), ("mlflow", "sqlalchemy"), ("wandb", "wandb"), ("tensorboard", "tensorboard")],
)
def test_a_package_that_is_missing_is_named_with_its_extra(cmbench, name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    done = cmbench(*TRAIN, "--track", name, code=2)
    assert f'--track {name} needs {package}, which is not installed: pip install "cmbench[{name}]"' in done.stderr
    assert cmbench.files() == []


def test_a_folder_that_cannot_be_made_is_one_message(cmbench):
    (cmbench.folder / "taken").write_text("")
    done = cmbench(*TRAIN, "--track", "tensorboard:taken", code=2)
    assert "--track tensorboard:taken: " in done.stderr
    assert "Traceback" not in done.stderr
    assert cmbench.results() == []


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")


def test_a_server_that_is_not_there_is_one_message(cmbench, impatient):
    pytest.importorskip("mlflow")
    done = cmbench(*TRAIN, "--track", "mlflow:http://127.0.0.1:9", code=2)
    assert "--track mlflow:http://127.0.0.1:9: " in done.stderr
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert cmbench.results() == []


def test_a_server_that_stays_is_told_everything(cmbench, impatient):
    pytest.importorskip("mlflow")
    with server(batches=10**6) as running:
        done = cmbench(*SHORT, "--track", f"mlflow:{running.url}")
    assert len(done.stderr.splitlines()) == 1
    assert running.calls[-1] == "runs/update"


def test_a_server_that_goes_away_costs_one_line_and_no_run(cmbench, impatient):
    pytest.importorskip("mlflow")
    with server(batches=2) as running:
        done = cmbench(*SHORT, "--seeds", "2", "--track", f"mlflow:{running.url}", "--track", "tensorboard")
    assert [result["status"] for result in cmbench.results()] == ["completed"] * 2
    first, second = (
        [line for line in done.stderr.splitlines() if f"digits adam_cm seed {seed}: goes on without" in line]
        for seed in (0, 1)
    )
    assert len(first) == len(second) == 1  # of the second run it cannot be told from the beginning
    assert f"goes on without --track mlflow:{running.url}: " in first[0]
    assert "Remote end closed connection" in first[0]
    assert len(list((cmbench.folder / "boards").glob("digits/adam_cm/*"))) == 2
