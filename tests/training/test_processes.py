"""Several processes that train one model together, started by `torchrun`, against one process."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.campaign._process import at_work

SHORT = ("--seeds", "1", "--set", "epochs=2", "--set", "schedule=constant")


def torchrun(folder, *arguments):
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cmbench"]
    return subprocess.Popen(
        [*line, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def together(folder, *arguments, code=0):
    process = torchrun(folder, *arguments)
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    return out


def result_in(folder, where):
    (path,) = (folder / where).rglob("*.json")
    return json.loads(path.read_text()), torch.load(path.with_suffix(".pt"), weights_only=True)["model"]


TELEMETRY = "telemetry={gradient_norm: true, buffer: true}"
SHARPNESS = "telemetry={sharpness_every: 1, sharpness_examples: 700}"
"""Two batches of the Hessian, one for each process."""


@pytest.mark.parametrize(
    ("suite", "opt", "sets"),
    [
        ("digits", "adam_cm", ("batch_size=63", "lr=1e-3")),  # batches, and the last of them, that do not divide by two
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in (
                ("digits", "adam_sam_cm", ("accumulate=2", "clip_norm=0.5", TELEMETRY)),
                ("pydoc", "adam_cg", ("max_steps=40", "lr=1e-3")),
                ("digits_online", "adam_sam", ("epochs=1", "lr=1e-3")),
                ("digits", "adam", ("lr=1e-3", SHARPNESS)),
                ("digits", "adam_cm", ("parallel=fsdp", "clip_norm=0.5", TELEMETRY)),
            )
        ),
    ],
)
def test_two_processes_give_the_result_of_one_with_the_same_batches(suite, opt, sets, cmbench):
    arguments = ["train", "--suite", suite, "--opt", opt, *SHORT, *(p for value in sets for p in ("--set", value))]
    out = together(cmbench.folder, *arguments, "--out", "two")
    assert out.startswith(suite)
    assert out.count("workload") == 1  # the table is printed once
    cmbench(*arguments, "--threads", "1", "--out", "one")
    (two, weights), (one, expected) = (result_in(cmbench.folder, where) for where in ("two", "one"))
    assert two["id"] == one["id"]
    assert two["cost"]["steps"] == one["cost"]["steps"]
    for name, curve in one["curves"].items():
        loose = {"val_accuracy": {"abs": 0.6}, "buffer_variance": {"rel": 0.05}}.get(name, {"rel": 5e-3})
        assert two["curves"][name] == pytest.approx(curve, **loose), name
    for name, tensor in expected.items():
        # Not number by number: where a gradient is nearly 0, rounding decides its sign, and so Adam's whole step.
        assert (weights[name] - tensor).norm() < 1e-2 * tensor.norm(), name
    if suite == "pydoc":  # a finished run is not repeated, by either of them
        assert "optimizer" in together(cmbench.folder, *arguments, "--out", "two")
        assert result_in(cmbench.folder, "two")[0]["created"] == two["created"]


@pytest.mark.long
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_stopped_together_end_bit_for_bit_as_if_nothing_had_happened(parallel, cmbench):
    arguments = ["train", "--suite", "pydoc", "--opt", "adam_cm", "--seeds", "1", "--set", "max_steps=60"]
    arguments += ["--set", "checkpoint.every_steps=10", "--set", f"parallel={parallel}"]
    together(cmbench.folder, *arguments, "--out", "whole")
    process = torchrun(cmbench.folder, *arguments, "--out", "cut")
    deadline = time.monotonic() + 120
    while not list((cmbench.folder / "cut").rglob("*.resume.pt")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    (path,) = (cmbench.folder / "cut").rglob("*.resume.pt")
    assert torch.load(path, weights_only=True)["position"]["step"] < 60
    alone = cmbench(*arguments, "--threads", "1", "--out", "cut", code=2)
    assert "a checkpoint of 2 processes, not 1" in alone.stderr
    together(cmbench.folder, *arguments, "--out", "cut")
    (whole, expected), (cut, weights) = (result_in(cmbench.folder, where) for where in ("whole", "cut"))
    assert (cut["metrics"], cut["curves"]) == (whole["metrics"], whole["curves"])
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())


@pytest.mark.long
@pytest.mark.parametrize("trains", [False, True])
def test_nobody_waits_for_a_torchrun_that_was_killed(trains, cmbench):
    folder, deadline = cmbench.folder.resolve(), time.monotonic() + 120
    process = torchrun(folder, "train", "--suite", "pydoc", "--opt", "adam_cm", "--set", "checkpoint.every_steps=1")
    try:
        while len(at_work(folder)) < 3 or (trains and not list(folder.rglob("*.resume.pt"))):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        while at_work(folder):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        for pid in at_work(folder):
            os.kill(pid, signal.SIGKILL)
        process.communicate()
    assert trains == bool(list(folder.rglob("*.resume.pt")))


@pytest.mark.long
def test_what_processes_cannot_share_is_refused(cmbench):
    out = torchrun(cmbench.folder, "train", "--suite", "digits", "--opt", "adam", *SHORT, "--set", "batch_size=1436")
    _, err = out.communicate(timeout=120)
    assert out.returncode != 0
    assert "batch_size 1436: an epoch's last batch is too small to be cut into 2" in err
    _, err = (process := torchrun(cmbench.folder, "train", "--suite", "digits", "--jobs", "2")).communicate(timeout=120)
    assert process.returncode != 0
    assert "--jobs: not under torchrun" in err
