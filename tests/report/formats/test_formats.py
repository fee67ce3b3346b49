"""The same table on a terminal, as Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
import re

import pytest
from rich.console import Console

from cmbench import report
from cmbench.errors import UserError
from cmbench.experiments.plan import plan_training
from cmbench.report import FORMATS, render
from tests.report.results import DATA, TRAIN, result_of, sharpness_of, suite_file, train_results


@pytest.fixture
def tables(tmp_path):
    suite = suite_file(tmp_path, TRAIN)
    specs = plan_training(suite, DATA)
    results = train_results(specs, {"adam": [90.0, 91.0], "adam_cm": [94.0, 94.5, 95.0]})
    lost = next(spec for spec in specs if spec.optimizer.label == "adam" and spec.seed == 2)
    results += [result_of(lost, "diverged", diverged_step=312), sharpness_of(results[0], 20.5)]
    return report.tables(results, suites=[suite])


@pytest.mark.parametrize("width", [60, 80, 140, 240])
def test_a_terminal_of_any_width_shows_everything(tables, width):
    text = render(tables, console=Console(width=width, file=io.StringIO()))
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for part in ("90.50 ± 0.71", "94.50 ± 0.50*", "93.9 ± 0.3", "94.0 ± 0.3", "diverged", "312", "3 missing", "20.50"):
        assert part in words, part
    assert "…" not in text


def test_the_best_is_bold_on_a_terminal_and_starred_elsewhere(tables):
    tty = Console(width=240, force_terminal=True, color_system="standard", file=io.StringIO())
    assert "\x1b[1m94.50 ± 0.50\x1b[0m" in render(tables, console=tty)
    plain = render(tables, console=Console(width=240, file=io.StringIO()))
    assert "94.50 ± 0.50*" in plain
    assert "\x1b" not in plain


def test_markdown_has_one_row_per_optimizer_with_the_best_in_bold(tables):
    lines = [line for line in render(tables, "markdown").splitlines() if line.startswith("|")]
    cells = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    assert len({len(row) for row in cells}) == 1
    assert [row[0] for row in cells[2:]] == ["Adam", "Adam+CM", "Adam+CM C=20"]
    assert cells[3][1:3] == ["**94.50 ± 0.50**", "94.0 ± 0.3"]
    assert "2/3 seeds, 1 diverged @ step 312" in cells[2]


def test_latex_escapes_text_and_keeps_its_columns(tables):
    text = render(tables, "latex")
    assert r"\textbf{94.50 $\pm$ 0.50}" in text
    assert r"accuracy \%~$\uparrow$" in text
    for block in re.findall(r"\\midrule(.*?)\\bottomrule", text, re.DOTALL):
        assert len({line.count("&") for line in block.strip().splitlines()}) == 1
    assert text.isascii()
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1


def test_csv_has_one_line_per_cell_in_full_precision(tables):
    rows = list(csv.DictReader(io.StringIO(render(tables, "csv"))))
    (row,) = (r for r in rows if (r["row"], r["label"], r["metric"]) == ("Adam", "adam", "val_accuracy_best"))
    assert float(row["std"]) == pytest.approx(0.5**0.5, rel=1e-12)
    assert (row["mean"], row["n"], row["paper_value"], row["best"]) == ("90.5", "2", "93.9", "false")
    assert len(rows) == len(tables[0].rows) * len(tables[0].columns)


def test_json_holds_the_same_aggregates(tables):
    document = json.loads(render(tables, "json"))
    assert document["schema"] == "cmbench.report/1"
    (table,) = document["tables"]
    adam = table["rows"][0]
    assert adam["cells"]["val_accuracy_best"]["value"] == 90.5
    assert adam["cells"]["val_accuracy_best"]["paper"] == {
        "value": 93.9,
        "spread": 0.3,
        "table": 2,
        "column": "cifar10",
    }
    assert (adam["runs"]["completed"], adam["runs"]["diverged_steps"]) == (2, [312])
    assert set(adam["cells"]) == {column["key"] for column in table["columns"]}


@pytest.mark.parametrize("format", FORMATS)
def test_no_tables_are_no_error(format):
    assert isinstance(render([], format), str)


def test_an_unknown_format_is_named_with_a_suggestion(tables):
    with pytest.raises(UserError, match=r"unknown format 'markdwn': did you mean 'markdown'\?"):
        render(tables, "markdwn")
