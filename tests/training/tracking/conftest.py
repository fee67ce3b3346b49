"""What the tests of trackers share: short trainings, and an MLflow store that is made once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time

import pytest

TRAIN = ("train", "--suite", "digits", "--opt", "adam_cm", "--seeds", "1", "--set", "schedule=constant")
SHORT = (*TRAIN, "--set", "epochs=2", "--set", "telemetry.gradient_norm=true")
LONG = (*TRAIN, "--set", "epochs=12", "--set", "checkpoint.every_steps=20")


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch):
    """Neither a server nor an account that the environment may name."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database with MLflow's tables, which take seconds to make."""
    mlflow = pytest.importorskip("mlflow")
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(cmbench, empty_store):
    """MLflow's own view of the default store of the command's folder."""
    from mlflow import MlflowClient

    path = cmbench.folder / "mlflow.db"
    shutil.copy(empty_store, path)
    return MlflowClient(f"sqlite:///{path}")


def stopped(cmbench, number, *arguments):
    """Starts a long training, sends it the signal when it has a checkpoint, and gives its exit code."""
    process = subprocess.Popen(
        cmbench.line(*LONG, *arguments),
        cwd=cmbench.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not cmbench.files("results/**/*.resume.pt"):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr
    assert process.returncode == (130 if number == signal.SIGINT else -number), stderr
