"""What MLflow's own client reads of a run is what its result holds: settings, curves, the end, and one run for each."""

import json
import math
import signal

import pytest

from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.training.tracking.base import Tracked
from cmbench.training.tracking.mlflow import MLflow

from .conftest import LONG, SHORT, stopped

pytest.importorskip("mlflow")


def runs_in(client):
    experiment = client.get_experiment_by_name("cmbench")
    return client.search_runs([experiment.experiment_id])


def history(client, run, name):
    points = sorted(client.get_metric_history(run.info.run_id, name), key=lambda point: point.timestamp)
    return [point.step for point in points], [point.value for point in points]


def test_settings_curves_and_the_end_are_there(cmbench, store):
    done = cmbench(*SHORT, "--track", "mlflow", "--json")
    (result,) = json.loads(done.stdout)
    (run,) = runs_in(store)
    assert (run.info.run_name, run.info.status) == ("digits adam_cm seed 0", "FINISHED")
    assert run.data.tags["cmbench.run"] == result["id"]
    assert run.data.tags["cmbench.status"] == result["status"] == "completed"
    for name, value in result["optimizer"]["hyperparameters"].items():
        shown = run.data.params.get(f"optimizer.{name}")
        assert shown == (value if value is None or isinstance(value, str) else json.dumps(value))
    expected = {"suite": "digits", "seed": "0", "schedule.name": "constant", "batch_size": "64", "epochs": "2"}
    expected["environment.torch"] = result["environment"]["torch"]
    assert expected.items() <= run.data.params.items()
    for name, values in result["curves"].items():
        assert history(store, run, f"epoch/{name}") == ([23, 46], values)
    assert history(store, run, "train/loss")[0][-1] == 46
    for name, value in result["metrics"].items():
        assert history(store, run, f"result/{name}") == ([46], [value])
    assert run.data.metrics["cost/gradient_evaluations"] == result["cost"]["gradient_evaluations"]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_a_run_that_goes_on_is_one_run_with_every_step_once(cmbench, store, number):
    stopped(cmbench, number, "--track", "mlflow")
    (run,) = runs_in(store)
    if number == signal.SIGINT:
        assert (run.info.status, run.data.tags["cmbench.status"]) == ("KILLED", "interrupted")
        assert not [name for name in run.data.metrics if name.startswith("result/")]
    cmbench(*LONG, "--track", "mlflow")
    (result,), (run,) = cmbench.results(), runs_in(store)
    assert (run.info.status, run.data.tags["cmbench.status"]) == ("FINISHED", "completed")
    assert history(store, run, "epoch/val_loss") == (
        [23 * epoch for epoch in range(1, 13)],
        result["curves"]["val_loss"],
    )
    steps, _ = history(store, run, "train/loss")
    assert steps == sorted(set(steps))
    assert steps[-1] == 12 * 23


def test_what_is_trained_again_from_the_beginning_is_another_run(cmbench, store):
    cmbench(*SHORT, "--track", "mlflow")
    cmbench(*SHORT, "--track", "mlflow")  # trains nothing
    assert len(runs_in(store)) == 1
    cmbench(*SHORT, "--track", "mlflow", "--force")
    assert [run.info.status for run in runs_in(store)] == ["FINISHED", "FINISHED"]


def test_a_run_that_diverges_has_failed_there_with_its_error(cmbench, store):
    cmbench(*SHORT, "--set", "lr=1e9", "--track", "mlflow", code=3)
    (result,), (run,) = cmbench.results(), runs_in(store)
    assert (run.info.status, run.data.tags["cmbench.status"]) == ("FAILED", "diverged")
    assert run.data.tags["cmbench.error"] == result["error"]


@pytest.mark.long
def test_runs_at_once_are_tracked_by_their_processes(cmbench):
    from mlflow import MlflowClient

    cmbench.process(*SHORT, "--opt", "adam", "--jobs", "2", "--track", "mlflow:deep/tracked")
    runs = runs_in(MlflowClient(f"sqlite:///{cmbench.folder}/deep/tracked/mlflow.db"))
    assert {(run.data.tags["cmbench.run"], run.info.status) for run in runs} == {
        (result["id"], "FINISHED") for result in cmbench.results()
    }
    assert len(runs) == 2


def test_names_that_mlflow_refuses_are_changed_and_what_is_not_finite_is_kept(cmbench, store):
    (spec,) = plan_training(load_suite("digits", opts=["adam"], sets=["seeds=1"]), "data")
    settings = {f"factor of ({number})": number for number in range(120)}
    board = MLflow(str(cmbench.folder)).open(Tracked(spec, settings, resumes=False))
    board.write(1, {"epoch/val_f1 (macro)": float("nan")})
    (run,) = runs_in(store)
    assert run.data.params == {f"factor of _{number}_": str(number) for number in range(120)}
    steps, (value,) = history(store, run, "epoch/val_f1 _macro_")
    assert steps == [1]
    assert math.isnan(value)
