"""`--out`: what cannot be written to is found out before anything runs."""

import pytest

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
