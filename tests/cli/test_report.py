"""`cmbench report` as a user runs it: in a folder with results, without results, into a pipe."""

import json
import os
import re
import subprocess
import sys

import pytest
from scipy import stats

from cmbench import report
from cmbench.experiments.execute import Outcome
from cmbench.experiments.plan import plan_landscapes, plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report import FORMATS
from tests.conftest import Command
from tests.report.results import DATA, TRAIN, result_of, save, suite_file, train_results

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
    assert (by_name.returncode, by_file.returncode) == (0, 4)  # a name does not tell which runs are planned
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
    assert done.returncode == 4
    assert part in " ".join(done.stdout.split())
    command = f"cmbench train --suite digits --out {store / 'results'}"
    assert done.stderr == f"cmbench: digits: some results are missing; to get them: {command}\n"


def test_a_complete_suite_exits_0(tmp_path):
    suite = load_suite("digits")
    specs = plan_training(suite, DATA)
    save(tmp_path / "results", specs, train_results(specs, {o.label: [90.0] * 5 for o in suite.optimizers}))
    done = cmbench("report", "--suite", "digits", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


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


@pytest.mark.parametrize(
    "options", ["", "--suite digits", "--table 2", "--claims", "--claims --suite digits", "--require table2/*"]
)
def test_a_file_that_holds_no_result_is_named_and_the_others_are_reported(store, options):
    broken = store / "results" / "digits" / "adam" / "broken.json"
    broken.write_text('{"schema": "cmbench.result/1", "kind"')
    done = cmbench("report", *options.split(), cwd=store)
    assert done.returncode == (1 if "--require" in options else 4)
    assert "--" in options or "Adam+CM" in done.stdout
    assert "broken.json: not a result" in done.stderr
    assert "Traceback" not in done.stderr


def test_seeds_of_earlier_settings_are_missed_by_nobody(store):
    (path, *_) = (store / "results" / "digits").rglob("*.json")
    result = json.loads(path.read_text())
    result["environment"]["asked_seeds"] = f"{result['seed']}-{result['seed'] + 3}"
    result["settings"]["epochs"] += 1

    def said(created):
        changed = result | {"created": created, "id": "0" * 16}
        path.with_name(f"{'0' * 16}.json").write_text(json.dumps(changed))
        return "not finished: seeds" in cmbench("report", cwd=store).stderr

    assert said("2999-01-01T00:00:00+00:00")
    assert not said("1999-01-01T00:00:00+00:00")


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


@pytest.mark.parametrize("arguments", [["--explain"], []])
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


CIFAR = {
    "adam": [93.9, 94.0, 93.8, 94.1, 93.7],
    "adam_cg": [93.8, 93.7, 93.9, 94.0, 93.6],
    "adam_sam": [93.7, 93.9, 93.8, 93.6, 93.5],
    "adam_cm": [95.1, 95.0, 95.2, 95.4, 94.9],
    "adam_sam_cm": [92.0, 92.1, 92.2, 91.9, 92.3],
    "adam_meg": [93.2, 93.0, 93.1, 93.3, 92.9],
}
"""Adam+CM is better than Adam, Adam+CG and Adam+SAM, as the paper says; Adam+SAM+CM, its best, is the worst."""


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    """`cmbench` where `stored` holds the training runs of cifar10, and of cifar100 those of Adam alone."""
    folder = tmp_path_factory.mktemp("claims")
    for name, accuracies in (("cifar10", CIFAR), ("cifar100", {"adam": CIFAR["adam"]})):
        specs = plan_training(load_suite(name), DATA)
        save(folder / "stored", specs, train_results(specs, accuracies))
    command = Command(folder)
    return lambda *arguments, **how: command("report", *arguments, "--out", "stored", **how)


def test_claims_are_listed_with_verdict_numbers_and_what_would_run_the_others(claimed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = claimed("--claims").stdout
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    weakest = max(("adam", "adam_cg", "adam_sam"), key=lambda o: stats.ttest_rel(CIFAR["adam_cm"], CIFAR[o]).pvalue)
    low, high = stats.ttest_rel(CIFAR["adam_cm"], CIFAR[weakest]).confidence_interval()
    assert f"[{low:+.3g}, {high:+.3g}] (the weakest of 3 comparisons)" in words
    assert "reproduced Adam+CM is more accurate than Adam, Adam+CG and Adam+SAM" in words
    assert "contradicted Adam+SAM+CM reaches the best validation accuracy" in words
    assert "as printed: indistinguishable (p = 0.61)" in words  # Welch of 94.0 ± 0.3 and 93.9 ± 0.3, n = 5
    assert "5 of 5 seeds missing: Adam+CM, Adam+CG, Adam+SAM, Adam+SAM+CM" in words
    assert "to complete it: cmbench train --suite cifar100 --out stored" in words
    assert "Not run cmbench toy --suite table1 --out stored" in words
    assert words.endswith("over the 3 that were run), 2 contradicted, 1 incomplete, 69 not run")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_the_verdicts(claimed, format):
    text = claimed("--claims", "--table", 2, "--format", format, code=4).stdout
    for verdict, count in (("reproduced", 1), ("contradicted", 1), ("incomplete", 1), ("not run", 1)):
        assert text.lower().count(verdict) >= count, verdict


@pytest.mark.parametrize(("asked", "ids"), [
    (("--suite", "cifar100"), {"table2/cifar100/cm-best"}),
    (("--suite", "table4", "--suite", "cifar100"), {
        "table2/cifar100/cm-best",
        *(f"table4/{stream}/{claim}" for stream in ("tinyimagenet", "5-dataset")
          for claim in ("sam-cm-best", "cm-over-baselines", "sam-like-adam")),
    }),
    (("--figure", 4, "--table", 14), {
        "figure4/cm-lower-loss", "figure4/cm-global", "table14/cifar10/middle-rate-best",
    }),
])  # fmt: skip
def test_claims_of_what_is_asked_for(claimed, asked, ids):
    done = claimed("--claims", *asked, "--json", code=4)
    assert {claim["id"] for claim in json.loads(done.stdout)["claims"]} == ids
    assert "results are missing; to get them: cmbench t" in done.stderr
    assert done.stderr.count(" --out stored") == len(done.stderr.splitlines())


def test_claims_that_are_all_settled_exit_0_and_are_corrected_over_all_that_were_run(claimed):
    done = claimed("--claims", "--suite", "cifar10", "--json")
    by_id = {claim["id"]: claim for claim in json.loads(done.stdout)["claims"]}
    run = [c["p"] for c in by_id.values() if c["verdict"] in ("reproduced", "contradicted", "inconclusive")]
    ours = by_id["table2/cifar10/cm-over-baselines"]
    assert ours["p_holm"] == pytest.approx(len(run) * min(run))
    alone = claimed("--require", ours["id"]).stdout
    assert f"1 reproduced (1 of them also after Holm's correction over the {len(run)} that were run)" in alone


@pytest.mark.parametrize(("asked", "message"), [
    (("--suite", "wine"), "--suite wine: no claim is about it: accepted: table1, "),
    (("--suite", "cifr10"), "did you mean 'cifar10'?"),
    (("--table", 6), "--table 6: no claim is about it: accepted: 1, 2, 3, 4, 5, 14"),
    (("--figure", 21), "--figure 21: no claim is about it"),
    (("--require", "table2/cifar10/cm-over-baseline"), "did you mean 'table2/cifar10/cm-over-baselines'?"),
    (("--require", "table6/*"), "--require table6/*: no such claim"),
])  # fmt: skip
def test_claims_that_the_paper_does_not_make_are_refused(claimed, asked, message):
    done = claimed("--claims", *asked, code=2)
    assert message in done.stderr
    assert done.stdout == ""


def test_required_claims_decide_the_exit_code(claimed):
    done = claimed("--require", "table2/cifar10/*", "--require", "*/cifar100/cm-best", code=1)
    assert done.stderr.splitlines() == [
        "cmbench: --require: table2/cifar10/sam-cm-best: contradicted",
        "cmbench: --require: table2/cifar100/cm-best: incomplete",
    ]
    assert claimed("--require", "table2/cifar10/cm-*", "--json").stderr == ""


def test_verdicts_without_any_results_exit_4(cmbench):
    done = cmbench("report", "--claims", code=4)
    assert done.stderr == "cmbench: results: no results; for some: cmbench train --suite digits\n"


@pytest.mark.parametrize("number", range(1, 15))
def test_every_table_of_the_paper_is_printed_and_what_it_lacks_is_said(claimed, number, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    settings = 6 <= number <= 13
    done = claimed("--table", number, code=0 if settings else 4)
    assert done.stdout.startswith(f"Table {number}\n")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert bool(done.stderr) != settings
    assert all("to get them: cmbench" in line and line.endswith("--out stored") for line in done.stderr.splitlines())
    if number == 2:
        assert "95.12 ± 0.19" in done.stdout  # of 95.1, 95.0, 95.2, 95.4, 94.9: √(0.148/4) = 0.192
        assert "--suite cifar10 " not in done.stderr
        assert "--suite cifar100 " in done.stderr


@pytest.mark.parametrize("kind", ["table", "figure"])
def test_a_place_that_the_paper_does_not_have_is_refused(claimed, kind):
    number = {"table": 15, "figure": 21}[kind]
    assert f"--{kind} {number}: " in claimed(f"--{kind}", number, code=2).stderr


def test_a_figure_is_the_tables_of_its_suites(claimed, tmp_path):
    specs = plan_landscapes(load_suite("escape_1d"))
    lanes = {name: [True] * specs[0].settings.count for name in ("escaped_all", "escaped_nearer", "escaped_reached")}
    save(tmp_path, specs, [result_of(spec, lanes=lanes, metrics=dict.fromkeys(lanes, 1.0)) for spec in specs])
    done = Command(tmp_path)("report", "--figure", 7, "--out", ".", code=4)
    assert done.stdout.startswith("escape_1d: escape ratio\n")
    assert done.stderr == (
        "cmbench: figure7_right: results are missing; to get them: cmbench escape-ratio --suite figure7_right --out .\n"
    )


def test_a_place_as_suite_is_every_suite_of_it(claimed):
    done = claimed("--suite", "table2", "--json", code=4)
    assert [table["suite"] for table in json.loads(done.stdout)["tables"]] == ["cifar10", "cifar100"]
    assert "no results of suite 'imagenet'; to get them: cmbench train --suite imagenet --out stored" in done.stderr
    assert "cifar100: some results are missing" in done.stderr


def test_a_place_runs_every_suite_of_it(cmbench):
    cmbench("escape-ratio", "--suite", "figure7", "--starts", 20, "--steps", 20, "--opt", "adam", "--quiet")
    assert {result["suite"]["name"] for result in cmbench.results()} == {"escape_1d", "figure7_right"}


def test_a_place_trains_every_suite_of_it(cmbench, monkeypatch):
    ran = []
    monkeypatch.setattr("cmbench.api.check_suite", lambda suite, machine=None: None)
    monkeypatch.setattr("cmbench.api.run_suite", lambda suite, **how: ran.append(suite.name) or Outcome([], 0))
    cmbench("train", "--suite", "table3")
    assert sorted(ran) == ["cifar100_sgd", "cifar10_sgd"]
