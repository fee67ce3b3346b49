"""Ctrl-C and SIGTERM at any moment: exit code 130, and with --json what there is by then."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cmbench import run_suite
from cmbench.experiments.execute import Interrupted
from cmbench.experiments.listener import Listener
from tests.cli.test_limits import SUITE


def start(cmbench, *arguments):
    # A shell that starts the tests in the background has Ctrl-C ignored, and so have its children.
    return subprocess.Popen(
        cmbench.line(*arguments),
        cwd=cmbench.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def until(what, process):
    deadline = time.monotonic() + 120
    while not what():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def children(process):
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.long), 2])
def test_while_workers_start(cmbench, number, workers):
    process = start(cmbench, "train", "--suite", "wine", "--jobs", "2", "--seeds", "4", "--set", "epochs=500")
    until(lambda: len(children(process)) > workers, process)  # one of them keeps books for the others
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted; what was done is kept" in stderr
    assert "out of memory" not in stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_libraries_are_loaded(cmbench, number):
    process = start(cmbench, "train", "--suite", "wine", "--seeds", "4", "--set", "epochs=500")
    until(lambda: "torch" in Path(f"/proc/{process.pid}/maps").read_text(), process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert "interrupted; what was done is kept" in stderr
    assert "Traceback" not in stderr


LATE = """
import os, signal, sys
from cmbench.cli.interrupts import as_keyboard_interrupt
try:
    with as_keyboard_interrupt():
        import late
except KeyboardInterrupt:
    sys.exit(130)
"""
WRAPPED = """
import os, signal, sys
from pydantic import BaseModel, field_serializer
from cmbench.cli.interrupts import as_keyboard_interrupt

class Document(BaseModel):
    field: int = 1

    @field_serializer("field")
    def _as_written(self, value):
        os.kill(os.getpid(), signal.SIGINT)
        return value

try:
    with as_keyboard_interrupt():
        Document().model_dump()
except KeyboardInterrupt:
    sys.exit(130)
"""
EARLY = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from cmbench.__main__ import main
main()
"""


@pytest.mark.parametrize("code", [EARLY, LATE, WRAPPED], ids=["early", "late", "wrapped"])
def test_before_there_is_a_command_in_its_last_import_and_where_a_library_wraps_it(code, tmp_path):
    (tmp_path / "late.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr


def test_json_of_a_landscape_holds_what_was_done_by_then(cmbench):
    suite = SUITE.replace("steps: 5", "steps: 300").replace("adam: {lr: 0.1}", "adam: {}\n  sgd: {}\n  adam_cm: {}")
    (cmbench.folder / "mine.yaml").write_text(suite.replace("starts: 2", "starts: 4000"))
    process = start(cmbench, "toy", "--suite", "mine.yaml", "--json")
    until(lambda: cmbench.files("results/**/*.json"), process)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    done = json.loads(stdout)
    assert 0 < len(done) < 3
    assert {result["id"] for result in done} == {path.stem for path in cmbench.files("results/**/*.json")}


def test_json_of_a_training_holds_what_was_done_by_then_and_the_report_what_was_asked_for(cmbench):
    (cmbench.folder / "mine.yaml").write_text(
        "kind: train\ndescription: x\nworkload: wine\nepochs: 100000\nbatch_size: 16\nseeds: 3\n"
        "optimizers: {adam: {lr: 1e-3}}\n"
    )
    process = start(cmbench, "train", "--suite", "mine.yaml", "--json")
    until(lambda: cmbench.files("results/**/*.best.pt"), process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert [result["status"] for result in json.loads(stdout)] == ["interrupted"]
    (cmbench.folder / "mine.yaml").unlink()
    report = cmbench("report", code=4)
    shown = " ".join(report.stdout.split())
    assert all(words in shown for words in ("0/3", "1 interrupted, 2 missing"))
    assert "mine: adam: not finished: seeds 0-2" in report.stderr


def test_an_interrupt_carries_its_outcome(cmbench):
    class Stops(Listener):
        def ended(self, spec, result):
            raise KeyboardInterrupt

    (cmbench.folder / "mine.yaml").write_text(SUITE + "  sgd: {lr: 0.1}\n")
    with pytest.raises(Interrupted) as raised:
        run_suite(str(cmbench.folder / "mine.yaml"), out=cmbench.folder / "results", listener=Stops())
    assert [result.label for result in raised.value.outcome.results] == ["adam"]
    assert [spec.label for spec in raised.value.outcome.specs] == ["adam", "sgd"]
