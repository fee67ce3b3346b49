"""`cmbench report` as a user runs it: in a folder with results, without results, into a pipe."""

import json
import os
import re
import subprocess
import sys

import pytest

from cmbench import report
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report import FORMATS
from tests.report.results import DATA, TRAIN, save, suite_file, train_results

DIGITS = {"adam": [90.0, 91.0, 92.0], "adam_cm": [93.0, 94.0, 95.5]}


def cmbench(*arguments, cwd, **options):
    command = [sys.executable, "-m", "cmbench", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.fixture
def store(tmp_path):
    """A folder whose `results` hold runs of `digits` and of a suite of the user's."""
    for suite, accuracies in (
        (load_suite("digits"), DIGITS),
        (suite_file(tmp_path, TRAIN), {"adam": [90.0, 91.0, 92.0], "adam_cm": [93.0, 94.0, 95.5]}),
    ):
        specs = plan_training(suite, DATA)
        save(tmp_path / "results", specs, train_results(specs, accuracies))
    return tmp_path


def test_prints_a_table_for_every_suite_in_the_default_folder(store):
    done = cmbench("report", cwd=store)
    assert (done.returncode, done.stderr) == (0, "")
    assert "91.00 ± 1.00" in done.stdout  # mean and deviation of 90, 91, 92
    assert "94.17 ± 1.26" in done.stdout  # of 93, 94, 95.5: 94.1667, √(4.7500/3) = 1.2583
    assert done.stdout.count("Adam+CM") >= 2
    assert "2 missing" in " ".join(done.stdout.split())
    assert "\x1b" not in done.stdout


def test_a_suite_file_brings_its_order_and_its_place_in_the_paper(store):
    by_name = cmbench("report", "--suite", "mine", "--format", "json", cwd=store)
    by_file = cmbench("report", "--suite", "mine.yaml", "--json", cwd=store)
    assert (by_name.returncode, by_file.returncode) == (0, 0)
    (anonymous,), (known,) = (json.loads(done.stdout)["tables"] for done in (by_name, by_file))
    assert [row["label"] for row in anonymous["rows"]] == ["adam", "adam_cm"]
    assert [row["label"] for row in known["rows"]] == ["adam", "adam_cm", "adam_cm C=20"]
    assert known["rows"][1]["cells"]["val_accuracy_best"]["paper"]["value"] == 94.0


@pytest.mark.parametrize(
    ("format", "part"),
    [("markdown", "| **94.17 ± 1.26** |"), ("latex", r"\textbf{94.17 $\pm$ 1.26}"), ("csv", ",94.16666666666667,")],
)
def test_formats(store, format, part):
    done = cmbench("report", "--suite", "digits", "--out", store / "results", "--format", format, cwd=store.parent)
    assert done.returncode == 0
    assert part in " ".join(done.stdout.split())


def test_nothing_there_is_exit_code_4_with_the_command_that_would_help(tmp_path):
    done = cmbench("report", "--suite", "digits", "--out", "elsewhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert "elsewhere/digits" in done.stderr
    assert "cmbench train --suite digits --out elsewhere" in done.stderr
    everything = cmbench("report", cwd=tmp_path)
    assert everything.returncode == 4
    assert "results" in everything.stderr


def test_what_is_there_is_printed_although_another_suite_has_nothing(store):
    done = cmbench("report", "--suite", "digits", "--suite", "mien", cwd=store)
    assert done.returncode == 4
    assert "91.00 ± 1.00" in done.stdout
    assert "did you mean 'mine'?" in done.stderr


def test_a_file_that_holds_no_result_is_named(store):
    broken = store / "results" / "digits" / "adam" / "broken.json"
    broken.write_text('{"schema": "cmbench.result/1", "kind"')
    done = cmbench("report", cwd=store)
    assert (done.returncode, done.stdout) == (2, "")
    assert "broken.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error(store):
    command = f"'{sys.executable}' -m cmbench report | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=store, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() in ("digits", "mine")
    assert done.stderr == ""


def test_help_names_every_format(tmp_path):
    done = cmbench("report", "--help", cwd=tmp_path, env={**os.environ, "COLUMNS": "200"})
    assert "|".join(FORMATS) in done.stdout


def test_every_column_is_explained_in_eighty_columns(tmp_path):
    done = cmbench("report", "--explain", cwd=tmp_path, env={**os.environ, "COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    words = " ".join(done.stdout.split())
    for columns in report.COLUMNS.values():
        for column in columns:
            assert f"{column.key} “{column.title}”, " in words
            assert column.explanation in words
    assert "train_loss_final “train loss”, ↓ lower is better Mean loss" in words


def test_explanations_are_json_for_other_programs(tmp_path):
    done = cmbench("report", "--explain", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["schema"] == "cmbench.columns/1"
    assert {(c["kind"], c["key"], c["title"], c["better"], c["explanation"]) for c in document["columns"]} == {
        (kind, column.key, column.title, column.direction, column.explanation)
        for kind, columns in report.COLUMNS.items()
        for column in columns
    }


def test_explanations_are_tables_in_markdown_and_nothing_else(tmp_path):
    lines = cmbench("report", "--explain", "--format", "markdown", cwd=tmp_path).stdout.splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("| `")]
    keys = [column.key for columns in report.COLUMNS.values() for column in columns]
    assert [row[0].strip("`") for row in cells] == keys
    assert {len(row) for row in cells} == {4}
    refused = cmbench("report", "--explain", "--format", "latex", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "accepted: terminal, markdown, json" in refused.stderr


@pytest.mark.parametrize("arguments", [["--explain"], ["--suite", "digits"]])
def test_a_report_needs_neither_torch_nor_pandas(store, arguments):
    code = (
        f"import sys; from cmbench.cli.main import app; app(['report', *{arguments!r}], standalone_mode=False); "
        "sys.exit(','.join({'torch', 'pandas'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=store, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_help_needs_neither_torch_nor_pandas(tmp_path):
    code = (
        "import sys; from cmbench.cli.main import app; app(['report', '--help'], standalone_mode=False); "
        "sys.exit(','.join({'torch', 'pandas', 'scipy', 'matplotlib', 'tabulate'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
