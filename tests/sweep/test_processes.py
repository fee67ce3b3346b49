"""Several processes at one sweep, one of them killed: no trial is lost, run twice, or more than asked for."""

import json
import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from .postgres import FOUND, MISSING, server

TRIALS = 4
SWEEP = ("sweep", "--suite", "digits", "--opt", "adam", "--opt", "adam_cm", "--set", "schedule=constant")
SWEEP = (*SWEEP, "--set", "epochs=8", "--set", "checkpoint.every_steps=20", "--threads", "1", "--heartbeat", "1")
SWEEP = (
    *SWEEP,
    "--trials",
    str(TRIALS),
    "--set",
    "space={lr: {log: [1e-4, 1e-2]}, betas: [[0.9, 0.99], [0.9, 0.999]]}",
)


@contextmanager
def sqlite():
    yield None


@pytest.fixture(
    params=[
        pytest.param(sqlite, id="sqlite"),
        pytest.param(server, id="postgresql", marks=pytest.mark.skipif(FOUND is None, reason=MISSING)),
    ]
)
def storage(request):
    with request.param() as url:
        yield ("--storage", url) if url else ()


def start(cmbench, storage):
    line = cmbench.line(*SWEEP, *storage, "--json")
    return subprocess.Popen(line, cwd=cmbench.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.long
def test_what_a_killed_process_was_at_is_finished_by_the_others(cmbench, storage):
    killed = start(cmbench, storage)
    deadline = time.monotonic() + 120
    while not list(cmbench.folder.rglob("*.resume.pt")):
        assert killed.poll() is None, killed.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    others = [start(cmbench, storage) for _ in range(2)]
    killed.send_signal(signal.SIGKILL)
    _, before = killed.communicate()
    heard = [other.communicate(timeout=400) for other in others]
    assert [other.returncode for other in others] == [0, 0], heard

    first, second = (json.loads(stdout) for stdout, _ in heard)
    assert first == second, "who ends first waits for the other, and both see the same"
    for each in first["optimizers"]:
        assert [trial["state"] for trial in each["trials"]] == ["completed"] * TRIALS
        assert len({str(trial["setting"]) for trial in each["trials"]}) == TRIALS
        assert all(len(trial["values"]) == 2 for trial in each["trials"])
    results = cmbench.results()
    assert len(results) == 2 * TRIALS * 2
    assert {result["status"] for result in results} == {"completed"}

    done = re.compile(r"\] (digits_sweep .*? seed \d+): val accuracy")
    trained = Counter(title for text in (before, *(stderr for _, stderr in heard)) for title in done.findall(text))
    assert set(trained.values()) == {1}, trained
    assert len(trained) == 2 * TRIALS * 2
    assert all(done.search(stderr) for _, stderr in heard), "both have worked"


@pytest.mark.long
def test_ctrl_c_leaves_the_trial_to_the_next_call_which_goes_on_from_its_checkpoint(cmbench):
    process = start(cmbench, ())
    deadline = time.monotonic() + 120
    while not list(cmbench.folder.rglob("*.resume.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == 130, stderr
    assert "goes on from there" in stderr
    done = cmbench.process(*SWEEP, "--trials", "1", "--json")
    for each in json.loads(done.stdout)["optimizers"]:
        assert [trial["number"] for trial in each["trials"]] in ([0], [1])
        assert [trial["state"] for trial in each["trials"]] == ["completed"]
    assert len(cmbench.results()) == 2 * 2
