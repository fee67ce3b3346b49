"""What W&B keeps of a run offline, in the file that `wandb sync` uploads, is what its result holds."""

import json
import signal
import struct

import pytest

from .conftest import LONG, SHORT, stopped

pytest.importorskip("wandb")
BLOCK, HEADER = 32768, 7


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


def records(path):
    """A .wandb file: after seven bytes, blocks of parts of records, as LevelDB's logs have them."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if (left := BLOCK - at % BLOCK) < HEADER:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        at += HEADER + size
        parts += data[at - size : at]
        if kind in (1, 4):  # whole, or the last part
            record, parts = Record.FromString(parts), b""
            yield record.WhichOneof("record_type"), record


def items(some):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in some}


def read(path):
    """The run's record, its settings, its points by step, what is said of it at the end, and its exit code."""
    run, settings, points, summary, code = None, {}, [], {}, None
    for kind, record in records(path):
        if kind == "run":
            run = record.run
            settings |= items(run.config.update)
        elif kind == "history":
            points.append(items(record.history.item))
        elif kind == "summary":
            summary |= items(record.summary.update)
        elif kind == "exit":
            code = record.exit.exit_code
    return run, settings, points, summary, code


def test_settings_curves_and_the_end_are_there_and_the_command_prints_what_it_does_without(cmbench):
    done = cmbench.process(*SHORT, "--track", "wandb:team/flat", "--json")
    (result,) = json.loads(done.stdout)
    assert len(done.stderr.splitlines()) == 1
    (path,) = cmbench.files("wandb/offline-run-*/*.wandb")
    run, settings, points, summary, code = read(path)
    assert (run.run_id, run.entity, run.project) == (result["id"], "team", "flat")
    assert (run.display_name, run.run_group) == ("digits adam_cm seed 0", "digits")
    expected = {"suite": "digits", "seed": 0, "epochs": 2, "schedule.name": "constant"}
    expected |= {f"optimizer.{name}": value for name, value in result["optimizer"]["hyperparameters"].items()}
    expected = {name: value for name, value in expected.items() if value is not None}
    assert {name: settings.get(name) for name in expected} == expected
    by_step = {point["_step"]: point for point in points}
    assert len(by_step) == len(points)
    for name, values in result["curves"].items():
        assert [by_step[step][f"epoch/{name}"] for step in (23, 46)] == pytest.approx(values)
    assert summary["status"] == "completed"
    assert summary["result/val_accuracy_best"] == pytest.approx(result["metrics"]["val_accuracy_best"])
    assert code == 0


@pytest.mark.long
def test_a_run_that_goes_on_has_one_id_and_every_step_once(cmbench):
    stopped(cmbench, signal.SIGINT, "--track", "wandb")
    cmbench.process(*LONG, "--track", "wandb")
    (result,) = cmbench.results()
    first, second = map(read, cmbench.files("wandb/offline-run-*/*.wandb"))
    assert first[0].run_id == second[0].run_id == result["id"]
    assert (first[3]["status"], second[3]["status"]) == ("interrupted", "completed")
    assert (first[4], second[4]) == (1, 0)
    points = [*first[2], *second[2]]
    steps = [point["_step"] for point in points]
    assert steps == sorted(set(steps))
    curve = [point["epoch/val_loss"] for point in points if "epoch/val_loss" in point]
    assert curve == pytest.approx(result["curves"]["val_loss"])


@pytest.mark.long
def test_without_an_account_it_says_what_to_do(cmbench, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("HOME", str(cmbench.folder))
    monkeypatch.setenv("NETRC", str(cmbench.folder / "netrc"))
    done = cmbench.process(*SHORT, "--track", "wandb", code=2)
    assert "--track wandb: No API key configured" in done.stderr
    assert "Traceback" not in done.stderr
    assert cmbench.results() == []
