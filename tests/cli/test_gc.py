"""`cmbench gc` and `cmbench stop`: what goes, what stays, what is said."""

import os
import subprocess
import sys

from cmbench.experiments.process import this_machine

SMALL = (
    "train",
    "--suite",
    "digits",
    "--opt",
    "adam",
    "--seeds",
    "1",
    "--set",
    "epochs=1",
    "--set",
    "schedule=constant",
)


def names(cmbench):
    return {str(path.relative_to(cmbench.folder / "results")) for path in cmbench.files("results/**/*")}


def test_what_finished_runs_and_dead_processes_have_left_goes_and_nothing_else(cmbench):
    cmbench(*SMALL)
    kept = names(cmbench)
    (result,) = cmbench.files("results/**/*.json")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    result.with_suffix(".resume.pt").write_bytes(b"x" * 3000)
    (result.parent / f".{result.name}.{this_machine()}.{dead.pid}.tmp").write_text("half")
    (result.parent / f".{result.name}.{this_machine()}.{os.getpid()}.tmp").write_text("being written")
    (result.parent / f".{result.name}.{'0' * 12}.{dead.pid}.tmp").write_text("of another machine")
    other = result.with_name("0123456789abcdef.resume.pt")
    other.write_bytes(b"of a run that is not finished")
    leases = cmbench.folder / "results" / ".leases"
    (leases / f"{result.stem}.1").write_text("{}")
    os.utime(leases / f"{result.stem}.1", (1, 1))
    before = names(cmbench)

    said = cmbench("gc", "--dry-run").stdout
    assert names(cmbench) == before
    assert "checkpoints of finished runs: 1 file, 3 KiB would be removed\n" in said
    assert str(result.with_suffix(".resume.pt").relative_to(cmbench.folder)) in said
    assert cmbench("gc").stdout == (
        "checkpoints of finished runs: 1 file, 3 KiB removed\n"
        "leases of finished runs: 1 file, 0 KiB removed\n"
        "half-written files of processes that died: 1 file, 0 KiB removed\n"
    )
    left = names(cmbench) - kept
    assert len(left) == 3
    assert {name.rpartition(".")[2] for name in left} == {"tmp", "pt"}
    assert cmbench("gc").stdout == "nothing to remove\n"


def test_results_of_suites_that_are_gone_go_only_when_asked_for(cmbench):
    (cmbench.folder / "mine.yaml").write_text(cmbench("suites", "digits").stdout)
    cmbench(*SMALL)
    cmbench(*SMALL[:2], "mine.yaml", *SMALL[3:])
    assert cmbench("gc", "--unknown-suites").stdout == "nothing to remove\n"
    (cmbench.folder / "mine.yaml").unlink()
    assert "1 result of 'mine', which no suite here is called: kept" in cmbench("gc").stdout
    assert cmbench("gc", "--unknown-suites", "--keep", "mine").stdout == "nothing to remove\n"
    assert "results of 'mine', which no suite is called: 3 files" in cmbench("gc", "--unknown-suites").stdout
    assert {result["suite"]["name"] for result in cmbench.results()} == {"digits"}
    assert not (cmbench.folder / "results" / "mine").exists()


def test_a_search_of_a_suite_that_is_here_is_no_garbage(cmbench):
    cmbench("sweep", "--suite", "wine", "--opt", "adam", "--trials", "1", "--seeds", "1", "--quiet")
    cmbench("train", "--suite", "digits", "--grid", *SMALL[3:], "--set", "grid={lr: [1e-2]}")
    assert {result["suite"]["name"] for result in cmbench.results()} == {"wine_sweep", "digits_grid"}
    assert cmbench("gc", "--unknown-suites").stdout == "nothing to remove\n"


def test_a_file_that_holds_no_result_keeps_nobody_from_tidying(cmbench):
    cmbench(*SMALL)
    (result,) = cmbench.files("results/**/*.json")
    result.with_suffix(".resume.pt").write_bytes(b"x")
    result.with_name("x\x1b[31m.json").write_text("{")
    done = cmbench("gc", "--dry-run")
    assert "checkpoints of finished runs: 1 file" in done.stdout
    assert "x\\x1b[31m.json: not a result" in done.stderr
    for said in (done.stderr, cmbench("plan").stderr):
        assert "\x1b" not in said
    assert "checkpoints of finished runs: 1 file" in cmbench("gc").stdout
    assert result.with_name("x\x1b[31m.json").exists()


def test_a_folder_that_is_not_there_is_named(cmbench):
    for command in ("gc", "stop"):
        assert "results: no such folder (--out)" in cmbench(command, code=2).stderr


def test_to_stop_nothing_says_so(cmbench):
    cmbench(*SMALL)
    assert cmbench("stop").stdout == "no run is going on\n"


def test_a_result_whose_id_leads_elsewhere_is_none_and_nothing_there_goes(cmbench):
    cmbench(*SMALL)
    (result,) = cmbench.files("results/**/*.json")
    (cmbench.folder / "mine.txt").write_text("kept")
    text = result.read_text()
    for hostile in ("../../mine", "*", "../../../" + str(cmbench.folder)[1:] + "/mine"):
        result.write_text(text.replace(f'"{result.stem}"', f'"{hostile}"'))
        assert "not a result: id" in cmbench("gc").stderr
    assert (cmbench.folder / "mine.txt").read_text() == "kept"
