"""`cmbench plan`: what is done, going on, left; and how long it takes, held against what it did take."""

import json
import signal
import subprocess
import time

import pytest

from tests.cli.test_sharing import TRAIN, WORKLOAD, read_until, start

SMALL = ("--suite", "digits", "--opt", "adam", "--opt", "adam_cm", "--seeds", "2", "--set", "epochs=1",
         "--set", "schedule=constant")  # fmt: skip


SLOW = """
class Slow(Logged):
    def loss(self, model, batch, carry):
        time.sleep(0.02)
        return super().loss(model, batch, carry)
"""
MINE = """
from torch.optim import SGD

class Mine(SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
"""


def states(cmbench, *arguments):
    document = json.loads(cmbench("plan", *arguments, "--json").stdout)
    return document, {(run["label"], run["seed"]): run for run in document["runs"]}


def test_what_is_missing_and_what_is_finished(cmbench):
    document, before = states(cmbench, *SMALL)
    assert {run["status"] for run in before.values()} == {"missing"}
    assert len(before) == 4
    assert document["left"]["unknown"] == 4
    cmbench("train", *SMALL[:4], "--seed", "0", *SMALL[8:])
    document, after = states(cmbench, *SMALL)
    assert {key: run["status"] for key, run in after.items()} == {
        ("adam", 0): "finished", ("adam", 1): "missing", ("adam_cm", 0): "missing", ("adam_cm", 1): "missing",
    }  # fmt: skip
    assert document["left"]["unknown"] == 0
    assert document["left"]["rough"]  # nothing of adam_cm has run
    shown = cmbench("plan", *SMALL).stdout
    assert "4 runs: 1 finished, 3 missing\nroughly " in shown
    assert [line.split() for line in shown.splitlines()[:2]] == [
        ["digits", "finished", "missing", "left"], ["adam", "1", "1", shown.splitlines()[1].split()[3], "s"],
    ]  # fmt: skip


def test_nothing_is_written_or_trained_by_asking(cmbench):
    cmbench("plan", *SMALL)
    assert cmbench.files() == []
    assert "(--probe tries 20 steps)" in cmbench("plan", *SMALL).stdout
    assert "about" in cmbench("plan", *SMALL, "--probe").stdout
    assert cmbench.files() == []


def test_diverged_failed_and_stale_runs_say_why(cmbench):
    (cmbench.folder / "mine.py").write_text(MINE)
    line = ("--suite", "digits", "--opt", "./mine.py:Mine", "--opt", "adam", "--seeds", "1", "--set", "epochs=1",
            "--set", "schedule=constant")  # fmt: skip
    cmbench("train", *line, "--set", "optimizers.adam.lr=1e12", code=3)
    (cmbench.folder / "mine.py").write_text(MINE + "# another one")
    _, found = states(cmbench, *line, "--set", "optimizers.adam.lr=1e12")
    stale, diverged = found["./mine.py:Mine", 0], found["adam", 0]
    assert (stale["status"], stale["detail"]) == ("stale", "the code of its optimizer has changed")
    assert diverged["status"] == "diverged"
    assert "training loss" in diverged["detail"]
    assert "stale: digits ./mine.py:Mine seed 0 the code of its optimizer" in cmbench("plan", *line).stdout


def test_other_data_makes_results_stale_with_a_suite_and_without(cmbench):
    (cmbench.folder / "logged.py").write_text(WORKLOAD)
    line = [*TRAIN[1:], "--seeds", "1", "--set", "epochs=1"]
    cmbench("train", *line)
    (cmbench.folder / "logged.py").write_text(WORKLOAD + "    version = 2\n")
    for arguments in (line, []):
        _, found = states(cmbench, *arguments)
        assert found["adam_cm", 0]["status"] == "stale", arguments
        assert found["adam_cm", 0]["detail"] == "the code of its workload has changed"


def test_runs_that_go_on_and_runs_that_stopped(cmbench):
    (cmbench.folder / "logged.py").write_text(WORKLOAD)
    line = [*TRAIN[1:], "--seeds", "1", "--set", "epochs=2"]
    (cmbench.folder / "wait").touch()
    process = start(cmbench, "train", *line)
    while not (cmbench.folder / "steps.log").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    deadline = time.monotonic() + 30
    for arguments in (line, []):
        while True:
            _, found = states(cmbench, *arguments)
            if found["adam_cm", 0].get("total_steps") == 46:
                break
            assert time.monotonic() < deadline
        assert found["adam_cm", 0]["status"] == "running"
        assert found["adam_cm", 0]["where"].endswith(", cpu")
    stopper = start(cmbench, "stop")
    assert read_until(stopper.stdout, "asked to stop")[-1] == "1 run asked to stop\n"
    (cmbench.folder / "wait").unlink()
    process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    said, _ = stopper.communicate(timeout=60)
    assert "all have ended" in said
    if process.returncode == 130:
        for arguments in (line, []):
            _, found = states(cmbench, *arguments)
            assert found["adam_cm", 0]["status"] == "interrupted"
            assert 0 < found["adam_cm", 0]["step"] <= 46
    cmbench("train", *line)
    assert states(cmbench)[1]["adam_cm", 0]["status"] == "finished"


def test_a_killed_run_without_a_result_is_known_by_its_lease_and_its_checkpoint(cmbench):
    (cmbench.folder / "logged.py").write_text(WORKLOAD)
    process = start(cmbench, *TRAIN, "--seeds", "1")
    while not list(cmbench.folder.rglob("*.resume.pt")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    for arguments in ([*TRAIN[1:], "--seeds", "1"], []):
        _, found = states(cmbench, *arguments)
        assert found["adam_cm", 0]["status"] == "interrupted"
        assert found["adam_cm", 0]["step"] % 20 == 0


@pytest.mark.long
def test_the_estimate_of_a_half_finished_digits_plan_is_what_the_rest_takes(cmbench):
    # Steps of digits take 3 ms, and whatever else this machine does shows in them: here they wait for 20 ms more.
    (cmbench.folder / "logged.py").write_text(WORKLOAD + SLOW)
    line = ("--suite", "digits", "--workload", "./logged.py:Slow", "--set", "epochs=4", "--set", "schedule=constant",
            "--threads", "1")  # fmt: skip
    cmbench.process("train", *line, "--seeds", "1", "--quiet")
    document, _ = states(cmbench, *line, "--seeds", "2")
    assert not document["left"]["rough"]
    began = time.perf_counter()
    cmbench.process("train", *line, "--seeds", "2", "--quiet")
    took = time.perf_counter() - began
    began = time.perf_counter()
    cmbench.process("train", *line, "--seeds", "2", "--quiet")  # finds everything: what a start takes
    took -= time.perf_counter() - began
    assert document["left"]["seconds"] == pytest.approx(took, rel=0.25)


def test_watching_ends_with_the_last_run(cmbench):
    cmbench("train", *SMALL[:4], "--seed", "0", *SMALL[8:])
    watching = subprocess.Popen(
        cmbench.line("plan", *SMALL[:4], "--seeds", "2", *SMALL[8:], "--watch"),
        cwd=cmbench.folder, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stdout.readline() == "2 runs: 1 finished, 1 missing\n"
    cmbench("train", *SMALL[:4], "--seed", "1", *SMALL[8:])
    rest, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert rest.endswith("2 runs: 2 finished\n")


def test_watching_can_be_interrupted(cmbench):
    watching = subprocess.Popen(
        cmbench.line("plan", *SMALL, "--watch"), cwd=cmbench.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert b"Traceback" not in said


def test_what_belongs_to_a_suite_is_refused_without_one(cmbench):
    assert "accepted: with --suite" in cmbench("plan", "--opt", "adam", code=2).stderr
    assert "results: no such folder (--out)" in cmbench("plan", code=2).stderr
    assert "--jobs some: accepted" in cmbench("plan", *SMALL, "--jobs", "some", code=2).stderr
