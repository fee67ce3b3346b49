"""The examples run as they are written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from junitparser import JUnitXml

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SHORT = "--seeds 3 --set epochs=1 --set schedule=constant --opt adam"


@pytest.fixture
def environment(tmp_path):
    """A PATH on which `cmbench`, `python3` and a stub of GitHub's `gh` are found.

    `SHORTER` is put after `cmbench train`; `gh` knows the run 42 where there is a folder `artifacts`, and downloads
    what lies in it.
    """
    tools = tmp_path / "bin"
    tools.mkdir()
    python, download = f'exec "{sys.executable}"', f'cp "{tmp_path}"/artifacts/* .'
    for name, line in {
        "cmbench": f'[ "$1" = train ] && set -- "$@" $SHORTER; {python} -m cmbench "$@"',
        "python3": f'{python} "$@"',
        "gh": f'case "$1 $2" in "run list") [ ! -d "{tmp_path}/artifacts" ] || echo 42;; "run download") {download};; '
        "*) exit 2;; esac",
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": path, "SHORTER": ""}


def sweep(settings, folder, *options):
    """What a sweep prints: lines of value, metric and point."""
    line = [EXAMPLES / "sweep.sh", *options]
    done = subprocess.run(line, cwd=folder, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [row.split(" ", 2) for row in done.stdout.splitlines()]


@pytest.mark.long
def test_the_sweep_ranks_every_point_and_repeats_nothing(environment, tmp_path):
    settings = environment | {"LRS": "1e-3 1e9", "CAPACITIES": "2 5"}
    options = ("--seeds", "1", "--set", "epochs=1", "--set", "schedule=constant")
    rows = sweep(settings, tmp_path, *options)
    assert {row[-1] for row in rows[:2]} == {"lr=1e-3 capacity=2", "lr=1e-3 capacity=5"}
    assert float(rows[0][0]) >= float(rows[1][0]) > 50
    assert sorted(rows[2:]) == [["diverged", "lr=1e9", "capacity=2"], ["diverged", "lr=1e9", "capacity=5"]]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").rglob("*.pt")}
    assert len(before) == 4  # the last weights and the best
    again = sweep(settings | {"LRS": "1e-3", "CAPACITIES": "2"}, tmp_path, *options)
    assert again == [row for row in rows[:2] if row[-1].endswith("=2")]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


@pytest.mark.long
@pytest.mark.parametrize(("suite", "metric", "options"), [
    ("pydoc", "val_perplexity_best", ("--seeds", "1", "--set", "max_steps=40")),
    ("digits_online", "learning_accuracy", ("--seeds", "1", "--set", "epochs=1")),
    ("levy", "loss_final", ("--steps", "50")),
])  # fmt: skip
def test_an_optimizer_without_a_memory_is_swept_over_the_learning_rate_by_the_metric_of_its_suite(
    environment, tmp_path, suite, metric, options
):
    settings = environment | {"LRS": "1e-7 1e-1", "OPT": "adam", "SUITE": suite}
    best, worst = sweep(settings, tmp_path, *options, "--set", "schedule=constant")
    assert best[1:] == [metric, "lr=1e-1"]
    assert worst[1:] == [metric, "lr=1e-7"]  # has not moved
    assert (float(best[0]) > float(worst[0])) == (metric == "learning_accuracy")


@pytest.mark.long
def test_the_sweep_says_what_is_wrong_with_its_settings(environment, tmp_path):
    done = subprocess.run(
        [EXAMPLES / "sweep.sh"], cwd=tmp_path, env=environment | {"OPT": "adamm"}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "did you mean 'adam'?" in done.stderr


class Gate:
    """The steps of ci.yml's job, each run in bash as GitHub does, in a checkout of its own for every event."""

    def __init__(self, folder, settings):
        self.folder, self.settings = folder, settings
        self.steps = yaml.safe_load((EXAMPLES / "ci.yml").read_text())["jobs"]["digits"]["steps"]

    def run(self, event, checkout, **more):
        """The exit code of the step that fails, or 0, and what was printed."""
        checkout.mkdir(exist_ok=True)
        summary = checkout / "summary.md"
        settings = self.settings | {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_WORKFLOW": "optimizer regression"}
        printed = ""
        for step in self.steps:
            here = step.get("if", f"github.event_name == '{event}'").startswith(f"github.event_name == '{event}'")
            if not here or "run" not in step or step["run"].startswith("pip "):
                continue
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]], cwd=checkout, env=settings | more, capture_output=True, text=True
            )
            printed += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, printed
        return 0, printed

    def artifact(self, name):
        """The file that a step uploads under that name."""
        (path,) = [
            step["with"]["path"]
            for step in self.steps
            if step.get("uses", "").startswith("actions/upload-artifact") and step["with"]["name"] == name
        ]
        return path


@pytest.mark.long
def test_the_gate_passes_what_is_as_it_was_and_fails_a_regression(environment, tmp_path):
    gate = Gate(tmp_path, environment | {"SHORTER": SHORT})
    first = tmp_path / "first"
    code, printed = gate.run("pull_request", first)
    assert (code, "::notice::no baseline of main yet" in printed) == (0, True)
    assert not (first / gate.artifact("junit")).exists()

    code, printed = gate.run("push", first)
    assert code == 0, printed
    (tmp_path / "artifacts").mkdir()
    (first / gate.artifact("baseline")).rename(tmp_path / "artifacts" / gate.artifact("baseline"))

    code, printed = gate.run("pull_request", first)
    assert code == 0, printed
    assert "identical" in (first / "summary.md").read_text()
    cases = [case for suite in JUnitXml.fromfile(str(first / gate.artifact("junit"))) for case in suite]
    assert {case.classname for case in cases} == {"digits"}
    assert all(case.is_passed for case in cases)

    second = tmp_path / "second"
    code, printed = gate.run("pull_request", second, SHORTER=f"{SHORT} --set optimizers.adam.lr=1e-6")
    assert code == 1, printed
    assert "regressed" in (second / "summary.md").read_text()
    assert any(
        not case.is_passed for suite in JUnitXml.fromfile(str(second / gate.artifact("junit"))) for case in suite
    )
