"""`--out`: what cannot be written to is found out before anything runs."""

import errno
import os

import pytest

from cmbench.experiments.store import ResultStore
from cmbench.training.checkpoint import step_of

QUICK = {
    "train": ("--suite", "digits", "--opt", "adam", "--seeds", "1"),
    "toy": ("--suite", "ackley", "--opt", "adam"),
    "escape-ratio": ("--dim", "1", "--opt", "adam"),
    "convergence": (),
}


@pytest.mark.parametrize("command", QUICK)
def test_a_file_is_no_folder_for_results(cmbench, command):
    (cmbench.folder / "taken").write_text("mine")
    done = cmbench(command, *QUICK[command], "--out", "taken", code=2)
    assert done.stdout == ""
    assert "cmbench: taken/" in done.stderr
    assert "no results can be written there (--out): Not a directory" in done.stderr
    assert "Traceback" not in done.stderr
    assert (cmbench.folder / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("out", "reason"), [("taken/below", "Not a directory"), ("/proc/x", "No such file"), ("n" * 300, "name too long")]
)
def test_other_places_are_refused_for_the_reason_that_the_system_gives(cmbench, out, reason):
    (cmbench.folder / "taken").write_text("mine")
    done = cmbench("toy", *QUICK["toy"], "--out", out, code=2)
    assert f"{out}/" in done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_results_that_are_all_there_need_no_writable_folder(cmbench):
    cmbench("toy", *QUICK["toy"], "--steps", "5")
    before = cmbench.files()
    assert "nothing to do" in cmbench("toy", *QUICK["toy"], "--steps", "5").stderr
    assert cmbench.files() == before


RUN = (
    "train",
    "--suite",
    "wine",
    "--opt",
    "adam",
    "--seeds",
    "1",
    "--set",
    "epochs=8",
    "--set",
    "checkpoint.every_steps=5",
)


def test_a_run_whose_result_finds_no_room_goes_on_from_its_checkpoint(cmbench, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(ResultStore, "save", full)
        assert "its result cannot be written: No space left on device" in cmbench(*RUN, code=3).stderr
    (left,) = cmbench.files("results/**/*.resume.pt")
    assert step_of(left) >= 40
    cmbench(*RUN)
    assert not left.exists()
    cmbench(*RUN, "--out", "other")
    curves = [result["curves"] for result in cmbench.results()]
    monkeypatch.chdir(cmbench.folder)
    curves += [result.curves for _, result in ResultStore("other").results()]
    assert curves[0] == curves[1]


def test_a_checkpoint_that_a_killed_command_has_left_behind_its_result_goes(cmbench):
    cmbench(*RUN)
    (result,) = cmbench.files("results/**/*.json")
    left = result.with_suffix(".resume.pt")
    left.write_text("of a run that is made again, and was stopped")
    cmbench(*RUN)
    assert left.exists()
    os.utime(left, (1, 1))
    cmbench(*RUN)
    assert not left.exists()
