"""`cmbench train` as a user meets it: its table, its files, what it skips, what it refuses, how it survives."""

import json
import shutil
import signal
import subprocess
import time

import pytest

from cmbench.experiments.suite import builtin_suites

SHORT = ("--set", "epochs=1", "--set", "schedule=constant")


@pytest.fixture(scope="module")
def trained(shared_cmbench):
    done = shared_cmbench("train", "--suite", "digits", "--opt", "adam", "--opt", "adam_sam_cm", "--seeds", "2", *SHORT)
    return shared_cmbench, done


def test_it_prints_a_table_and_writes_one_result_per_run(trained):
    cmbench, done = trained
    assert "Adam+SAM+CM" in done.stdout
    assert "over 2 seeds" in done.stdout
    results = cmbench.results()
    assert sorted((r["optimizer"]["name"], r["seed"]) for r in results) == [
        ("adam", 0),
        ("adam", 1),
        ("adam_sam_cm", 0),
        ("adam_sam_cm", 1),
    ]
    for result in results:
        assert result["schema"] == "cmbench.result/1"
        assert result["status"] == "completed"
        assert result["metrics"]["val_accuracy_best"] > 50
        assert set(result["curves"]) == {"epoch", "train_loss", "val_loss", "val_accuracy", "lr", "distance"}
        assert result["environment"]["torch"]
    assert [p.suffix for p in cmbench.files("results/**/*")] == [".pt", ".json", ".pt"] * 4


def test_progress_is_plain_lines_away_from_a_terminal(trained):
    _, done = trained
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("[1/4] digits adam seed 0: val accuracy best ")
    assert "\x1b" not in done.stderr + done.stdout


def test_the_same_command_trains_nothing_the_second_time_and_says_so(trained):
    cmbench, first = trained
    before = {path: path.stat().st_mtime_ns for path in cmbench.files()}
    again = cmbench("train", "--suite", "digits", "--opt", "adam", "--opt", "adam_sam_cm", "--seeds", "2", *SHORT)
    assert again.stderr == "4 runs were finished before; nothing to do (--force runs them again)\n"
    assert again.stdout == first.stdout
    assert {path: path.stat().st_mtime_ns for path in cmbench.files()} == before


def test_json_holds_the_results_alone(trained):
    cmbench, _ = trained
    done = cmbench("train", "--suite", "digits", "--opt", "adam", "--seed", "1", *SHORT, "--json")
    (result,) = json.loads(done.stdout)
    assert (result["optimizer"]["label"], result["seed"]) == ("adam", 1)


def test_quiet_prints_the_table_alone(trained):
    cmbench, _ = trained
    done = cmbench("train", "--suite", "digits", "--opt", "adam", "--seed", "0", *SHORT, "--quiet", "--force")
    assert done.stderr == ""
    assert "Adam" in done.stdout


def test_a_suite_with_the_same_settings_under_another_name_trains_nothing(trained):
    cmbench, _ = trained
    (cmbench.folder / "again.yaml").write_text(builtin_suites()["digits"].read_text())
    optimizers = ("--opt", "adam", "--opt", "adam_sam_cm", "--seeds", "2")
    done = cmbench("train", "--suite", "again.yaml", *optimizers, *SHORT)
    assert sorted(done.stderr.splitlines()) == [
        f"again {label} seed {seed}: equals digits/{label}, taken over from there"
        for label in ("adam", "adam_sam_cm")
        for seed in (0, 1)
    ]
    assert [path.parts[-2:] for path in cmbench.files("results/again/**/*.best.pt")] == [
        path.parts[-2:] for path in cmbench.files("results/digits/**/*.best.pt")
    ]
    runs = cmbench.files("results/again/adam/*.json")
    assert "λmax" in cmbench("sharpness", *runs, "--examples", "100").stdout
    shutil.rmtree(cmbench.folder / "results" / "again")  # the other tests of this module count results


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "digit"], "did you mean 'digits'"),
        (["--suite", "digits", "--opt", "adam_mc"], "did you mean 'adam_cm'"),
        (["--suite", "digits", "--set", "decay=1.5"], "invalid decay: 1.5"),
        (["--suite", "digits", "--set", "capacity=-1"], "invalid capacity: -1"),
        (["--suite", "digits", "--set", "workload=digitz"], "did you mean 'digits'"),
        (["--suite", "digits", "--seed", "1", "--seeds", "2"], "--seed and --seeds"),
        (["--suite", "digits", "--device", "warp"], "--device warp"),
        (["--suite", "ackley"], "this command runs 'train' suites"),
    ],
)
def test_a_mistake_is_one_message_exit_code_2_and_nothing_written(cmbench, arguments, words):
    done = cmbench("train", *arguments, code=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert cmbench.files() == []


def test_a_diverged_run_is_kept_the_others_still_run_and_the_exit_code_is_3(cmbench):
    done = cmbench(
        "train", "--suite", "digits", "--opt", "adam", "--opt", "sgd", "--seeds", "1", *SHORT,
        "--set", "optimizers.adam.lr=1e9", code=3,
    )  # fmt: skip
    assert "1 diverged @ step 2" in " ".join(done.stdout.split())
    assert sorted(r["status"] for r in cmbench.results()) == ["completed", "diverged"]


LONG = ("train", "--suite", "digits", "--opt", "adam_cm", "--seeds", "1")
LONG += ("--set", "epochs=20", "--set", "checkpoint.every_steps=20")


def start_and_wait_for_a_checkpoint(cmbench):
    process = subprocess.Popen(
        cmbench.line(*LONG), cwd=cmbench.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not cmbench.files("results/**/*.resume.pt"):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    from tests.conftest import Command

    command = Command(tmp_path_factory.mktemp("undisturbed"))
    command(*LONG)
    return command.results()[0]


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(cmbench, undisturbed):
    process = start_and_wait_for_a_checkpoint(cmbench)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert cmbench.results() == []
    cmbench(*LONG)
    (result,) = cmbench.results()
    assert (result["metrics"], result["curves"]) == (undisturbed["metrics"], undisturbed["curves"])
    assert [p.name.partition(".")[2] for p in cmbench.files()] == ["best.pt", "json", "pt"]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_an_interrupt_keeps_the_work_and_exits_130(cmbench, undisturbed, number):
    process = start_and_wait_for_a_checkpoint(cmbench)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert [r["status"] for r in cmbench.results()] == ["interrupted"]
    cmbench(*LONG)
    (result,) = cmbench.results()
    assert result["status"] == "completed"
    assert result["metrics"] == undisturbed["metrics"]


def test_more_telemetry_trains_a_run_anew_once_and_answers_both_questions(cmbench):
    line = ("train", "--suite", "digits", "--opt", "adam_cm", "--seeds", "1", "--set", "epochs=2",
            "--set", "schedule=constant")  # fmt: skip
    asked = ("gradient_norm=true", "buffer=true", "sharpness_every=3")
    norm, buffer, never = (("--set", f"telemetry.{key}") for key in asked)
    cmbench(*line, *norm)
    assert "[1/1]" in cmbench(*line, *buffer).stderr
    (result,) = cmbench.results()
    assert result["environment"]["telemetry"] == {"gradient_norm": True, "buffer": True}
    curves = {name: result["curves"][name] for name in ("gradient_norm", "buffer_variance")}
    assert all(len(curve) == 2 and None not in curve for curve in curves.values())
    for asked in ((), norm, buffer, (*norm, *buffer), never):
        assert "nothing to do" in cmbench(*line, *asked).stderr
