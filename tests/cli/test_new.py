"""`cmbench new`: what it writes runs by the command that it prints."""

import shlex

import pytest


@pytest.mark.parametrize(
    ("what", "file", "options"),
    [
        ("optimizer", "my_own.py", ["--seeds", "1", "--set", "epochs=1"]),
        ("workload", "my_own.py", ["--opt", "adam", "--seeds", "1", "--set", "epochs=1"]),
        ("surface", "my_own.py", ["--opt", "adam", "--starts", "20", "--steps", "200"]),
        ("suite", "my_own.yaml", ["--seeds", "1", "--set", "epochs=1"]),
    ],
)
def test_what_is_written_runs_as_it_says(cmbench, what, file, options):
    done = cmbench("new", what, "my_own")
    assert (cmbench.folder / file).exists()
    assert "{{" not in (cmbench.folder / file).read_text()
    command = done.stdout.splitlines()[-1].strip()
    line = shlex.split(command)
    assert line[0] == "cmbench"
    ran = cmbench(*line[1:], *options)
    assert all(result["status"] == "completed" for result in cmbench.results())
    expected = {"optimizer": "MyOwn", "workload": "./my_own.py:my_own", "surface": "my_own", "suite": "NAdam"}[what]
    assert expected in ran.stdout
    if what == "surface":
        (result,) = cmbench.results()
        # Its minima are those of the formula: 4x³ − 4x + 0.3 = 0.
        assert result["metrics"]["distance_to_minimum"] < 1e-3
        assert (cmbench.folder / "my_own.png").stat().st_size > 1000


def test_it_overwrites_nothing_and_refuses_what_is_no_name(cmbench):
    (cmbench.folder / "mine.py").write_text("kept")
    assert "there is such a file already" in cmbench("new", "optimizer", "mine", code=2).stderr
    assert (cmbench.folder / "mine.py").read_text() == "kept"
    for name in ("Mine", "my-own", "a/b", "1st"):
        assert "accepted: a name of small letters" in cmbench("new", "suite", name, code=2).stderr
