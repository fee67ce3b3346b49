"""`cmbench train --jobs`: runs at once give what they give one after the other, and stop, die and resume as they do."""

import json
import os
import signal
import subprocess
import time

import pytest

RUNS = ("train", "--suite", "digits", "--opt", "adam", "--opt", "adam_cm", "--seeds", "2", "--set", "epochs=2")
RUNS = (*RUNS, "--set", "schedule=constant")
LONG = ("train", "--suite", "digits", "--opt", "adam", "--seeds", "3", "--set", "epochs=300", "--set")
LONG = (*LONG, "schedule=constant", "--set", "checkpoint.every_steps=20", "--jobs", "2")


def outcomes(folder):
    found = {}
    for path in folder.rglob("*.json"):
        result = json.loads(path.read_text())
        found[result["id"]] = (result["status"], result["metrics"], result["curves"], result["environment"]["threads"])
    return found


@pytest.mark.long
def test_runs_at_once_are_bit_for_bit_those_one_after_the_other(cmbench):
    done = cmbench.process(*RUNS, "--jobs", "3", "--threads", "1", "--out", "at_once")
    cmbench.process(*RUNS, "--threads", "1", "--out", "in_turn")
    together, alone = (outcomes(cmbench.folder / out) for out in ("at_once", "in_turn"))
    assert together == alone
    assert len(together) == 4
    assert {line.partition("]")[0] for line in done.stderr.splitlines()} >= {f"[{i}/4" for i in range(1, 5)}
    assert "4 runs were finished before" in cmbench.process(*RUNS, "--jobs", "2", "--out", "at_once").stderr


@pytest.mark.long
def test_every_device_that_is_named_gets_its_runs(cmbench):
    cmbench.process(*RUNS, "--devices", "cpu,cpu", "--threads", "1", "--out", "two")
    cmbench.process(*RUNS, "--jobs", "auto", "--threads", "1", "--out", "auto")
    assert outcomes(cmbench.folder / "two") == outcomes(cmbench.folder / "auto")
    for wrong, words in (("--jobs", "0"), "--jobs 0: accepted"), (("--devices", "cuda:99"), "--device cuda:99: not"):
        assert words in cmbench(*RUNS, *wrong, code=2).stderr


@pytest.mark.long
def test_threads_are_divided_among_the_runs(cmbench, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    cmbench.process(*RUNS, "--opt", "adam", "--jobs", "1", "--out", "one")
    cmbench.process(*RUNS, "--opt", "adam", "--jobs", "2", "--out", "two")
    threads = [{threads for *_, threads in outcomes(cmbench.folder / out).values()} for out in ("one", "two")]
    assert threads == [{2}, {1}]


def started(cmbench):
    """A command whose two runs have both written a checkpoint."""
    process = subprocess.Popen(
        cmbench.line(*LONG), cwd=cmbench.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(list(cmbench.folder.rglob("*.resume.pt"))) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def workers_of(process):
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM])
def test_a_signal_to_the_command_stops_every_run_with_a_checkpoint(number, cmbench):
    process = started(cmbench)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; what was done is kept" in err
    statuses = [status for status, *_ in outcomes(cmbench.folder).values()]
    assert statuses == ["interrupted", "interrupted"]
    assert len(list(cmbench.folder.rglob("*.resume.pt"))) == 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "send"), [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill), (signal.SIGTERM, os.killpg)]
)
def test_a_signal_while_the_workers_start_is_an_interrupt_too(number, send, cmbench):
    process = subprocess.Popen(
        cmbench.line(*LONG), cwd=cmbench.folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not workers_of(process):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    send(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted; what was done is kept" in err
    assert "out of memory" not in err
    assert outcomes(cmbench.folder) == {}


@pytest.mark.long
def test_workers_end_with_a_checkpoint_when_the_command_is_killed(cmbench):
    process = started(cmbench)
    workers = workers_of(process)
    assert len(workers) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(list(cmbench.folder.rglob("*.resume.pt"))) == 2


@pytest.mark.long
def test_a_process_that_dies_fails_its_run_and_the_plan_goes_on(cmbench):
    process = started(cmbench)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(list(cmbench.folder.rglob("*.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    results = [json.loads(path.read_text()) for path in cmbench.folder.rglob("*.json")]
    failed = [result["error"] for result in results if result["status"] == "failed"]
    # The one beside it is told to end, and may have the last word on its own run.
    assert failed
    assert all(result["status"] in {"failed", "interrupted"} for result in results)
    assert all("a process of this plan died" in error for error in failed)
    while len(list(cmbench.folder.rglob("*.resume.pt"))) < 3:  # the third run has begun in a new process
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.long
def test_what_the_user_got_wrong_ends_the_plan(cmbench):
    done = cmbench.process("train", "--suite", "digits", "--opt", "adam_sam", "--jobs", "2", "--set", "precision=fp16",
                   "--set", "clip_norm=1", code=2)  # fmt: skip
    assert "cmbench: precision fp16 does not go with clip_norm" in done.stderr
    assert "Traceback" not in done.stderr
