"""Several commands on one folder: every run is trained once, whoever is killed, and ends as if it had been alone."""

import json
import random
import signal
import subprocess
import time
from collections import defaultdict
from itertools import groupby

import pytest
import torch

RUNS, EPOCHS, STEPS, EVERY = 18, 5, 23, 20
"""Steps are those of an epoch."""
WORKLOAD = '''
import os, time, torch
from cmbench.workloads.digits import Digits

class Logged(Digits):
    """Digits; every training step is a line: which run, which process."""

    def model(self):
        self.run = torch.initial_seed()  # derived from the seed of the run
        return super().model()

    def loss(self, model, batch, carry):
        if model.training:
            with open("steps.log", "a") as file:
                file.write(f"{self.run} {os.getpid()}\\n")
            time.sleep(0.1 * os.path.exists("slow"))
            while os.path.exists("wait"):
                time.sleep(0.02)
        return super().loss(model, batch, carry)
'''
TRAIN = ("train", "--suite", "digits", "--workload", "./logged.py:Logged", "--opt", "adam_cm", "--seeds", f"{RUNS}",
         "--threads", "1", "--set", "schedule=constant", "--set", f"epochs={EPOCHS}", "--set",
         f"checkpoint.every_steps={EVERY}")  # fmt: skip


def steps(cmbench):
    """Of every run, the processes that have made its steps, in their order."""
    of_run = defaultdict(list)
    for line in (cmbench.folder / "steps.log").read_text().splitlines():
        run, pid = line.split()
        of_run[run].append(pid)
    return of_run


def outcomes(folder):
    """What came out, number by number: curves, metrics and weights."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        result = json.loads(path.read_text())
        weights = torch.load(path.with_suffix(".pt"), weights_only=True)["model"]
        found[result["id"]] = (result["status"], result["metrics"], result["curves"], weights)
    return found


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for run, (*numbers, weights) in ours.items():
        assert tuple(numbers) == theirs[run][:-1]
        assert all(torch.equal(tensor, theirs[run][-1][name]) for name, tensor in weights.items())


@pytest.mark.long
def test_four_commands_killed_ten_times_train_every_run_once_with_the_bits_of_an_undisturbed_one(cmbench):
    (cmbench.folder / "logged.py").write_text(WORKLOAD)
    (cmbench.folder / "slow").touch()  # on no machine does all end before the last signal
    draw, hard, killed = random.Random(4), 0, 0
    processes = [start(cmbench, *TRAIN, "--quiet") for _ in range(4)]
    while not (cmbench.folder / "steps.log").exists():
        time.sleep(0.1)
    while killed < 10:
        time.sleep(draw.uniform(0.5, 3))
        which = draw.randrange(4)
        assert processes[which].poll() is None, processes[which].stderr.read()
        how = draw.choice([signal.SIGKILL, signal.SIGTERM])
        processes[which].send_signal(how)
        processes[which].communicate()
        killed, hard = killed + 1, hard + (how == signal.SIGKILL)
        processes[which] = start(cmbench, *TRAIN, "--quiet")
    (cmbench.folder / "slow").unlink()
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors

    of_run = steps(cmbench)
    assert len(of_run) == RUNS
    made = sum(map(len, of_run.values()))
    # What was made after the last checkpoint before a SIGKILL is made again; nothing else is.
    assert RUNS * EPOCHS * STEPS <= made <= RUNS * EPOCHS * STEPS + hard * EVERY
    for pids in of_run.values():
        turns = [pid for pid, _ in groupby(pids)]
        assert len(turns) == len(set(turns)), "two processes at once"
    assert not list((cmbench.folder / "results" / ".leases").glob("*.[0-9]*"))
    assert not list(cmbench.folder.rglob("*.resume.pt"))

    cmbench.process(*TRAIN, "--out", "alone")
    assert_equal(outcomes(cmbench.folder / "results"), outcomes(cmbench.folder / "alone"))


def start(cmbench, *line):
    return subprocess.Popen(
        cmbench.line(*line), cwd=cmbench.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def read_until(stream, text):
    """Lines of the stream up to the one with `text`."""
    lines = [next(stream)]
    while text not in lines[-1]:
        lines.append(next(stream))
    return lines


@pytest.fixture
def at_work(cmbench):
    """A command that has begun its only run, and will not end it as long as there is a file `wait`."""
    (cmbench.folder / "logged.py").write_text(WORKLOAD)
    (cmbench.folder / "wait").touch()
    process = start(cmbench, *TRAIN, "--seeds", "1", "--set", "epochs=1")
    while not (cmbench.folder / "steps.log").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("jobs", [(), pytest.param(("--jobs", "2"), marks=pytest.mark.long)])
def test_a_command_waits_for_what_another_one_is_at_and_reports_it(jobs, at_work, cmbench):
    second = start(cmbench, *TRAIN, "--seeds", "1", "--set", "epochs=1", *jobs)
    read_until(second.stderr, "1 run is being trained by another process; waiting")
    (cmbench.folder / "wait").unlink()
    (table, _), (same, said) = at_work.communicate(timeout=60), second.communicate(timeout=60)
    assert same == table
    assert "1 run was finished before" in said
    assert [len(pids) for pids in steps(cmbench).values()] == [STEPS]


def test_equal_runs_of_two_suites_are_not_trained_side_by_side(at_work, cmbench):
    (cmbench.folder / "other.yaml").write_text(cmbench("suites", "digits").stdout)
    line = [*TRAIN, "--seeds", "1", "--set", "epochs=1"]
    line[line.index("digits")] = "other.yaml"
    second = start(cmbench, *line)
    read_until(second.stderr, "waiting")
    (cmbench.folder / "wait").unlink()
    assert (at_work.wait(timeout=60), second.wait(timeout=60)) == (0, 0)
    assert [len(pids) for pids in steps(cmbench).values()] == [STEPS]
    taken = {result["suite"]["name"]: result.get("taken_from") for result in cmbench.results()}
    assert taken == {"digits": None, "other": "digits/adam_cm"}


def test_what_an_owner_that_died_has_begun_is_gone_on_with_by_who_waits(at_work, cmbench):
    second = start(cmbench, *TRAIN, "--seeds", "1", "--set", "epochs=1")
    read_until(second.stderr, "waiting")
    at_work.kill()
    (cmbench.folder / "wait").unlink()
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0
    assert "[1/1] digits adam_cm seed 0: val accuracy best" in said


def test_who_waits_can_be_interrupted(at_work, cmbench):
    second = start(cmbench, *TRAIN, "--seeds", "1", "--set", "epochs=1")
    read_until(second.stderr, "waiting")
    second.send_signal(signal.SIGINT)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 130
    assert "interrupted" in said
    assert at_work.poll() is None
