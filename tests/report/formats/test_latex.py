"""What LaTeX itself says: the table of every suite compiles, and stays on its page."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

from cmbench import report
from cmbench.experiments.grid import load_grid
from cmbench.experiments.suite import builtin_suites, load_suite
from cmbench.report.formats.latex import PACKAGES
from cmbench.report.runs.plan import plan_of
from tests.report.results import result_of

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no pdflatex; Debian: apt-get install texlive-latex-extra"
)
TRAINING = ("val_accuracy_best", "val_perplexity_best", "learning_accuracy", "val_accuracy_final",
            "val_perplexity_final", "train_loss_final", "distance", "epoch_best")  # fmt: skip
LANES = ("loss_final", "loss_best", "sharpness", "distance_to_minimum", "path_length", "cancellation")
TRUTHS = ("reached_global", "ever_reached", "escaped_all", "escaped_nearer", "escaped_reached")


def filled(suite):
    """A finished run for all that a suite plans, with numbers of every kind that it may measure."""
    rng = np.random.default_rng(1)
    results = []
    for spec in plan_of(suite, []):
        if spec.kind == "train":
            metrics = {name: float(rng.uniform(10, 200)) for name in TRAINING}
            results.append(result_of(spec, metrics=metrics, curves={"val_accuracy": [1.0, 2.0]}))
        elif spec.kind == "convergence":
            numbers = spec.settings.condition_numbers
            curves = {"condition_number": list(numbers), "rate": list(rng.uniform(0.5, 0.999, len(numbers)))}
            results.append(result_of(spec, metrics={"simulation_error": 0.01}, curves=curves))
        else:
            lanes = {name: list(rng.normal(0, 300, 20)) for name in LANES}
            lanes |= {name: [bool(v) for v in rng.random(20) < 0.5] for name in TRUTHS}
            results.append(result_of(spec, lanes=lanes))
    return results


def compiled(folder, text):
    """The log of pdflatex over a document that has `text` in it."""
    packages = ",".join(PACKAGES)
    document = (
        f"\\documentclass{{article}}\n\\usepackage{{{packages}}}\n\\begin{{document}}\n{text}\n\\end{{document}}\n"
    )
    (folder / "it.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "it.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    log = (folder / "it.log").read_text(errors="replace")
    assert done.returncode == 0, log[-3000:]
    return log


def too_wide(log):
    """By how many points lines stick out, where it is more than a letter."""
    return [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide", log) if float(points) > 5]


SHORT = ("convergence", "digits", "escape_10d", "ptb", "table1")
"""Suites of every kind; the others are compiled in `make test-all`."""


@needs_latex
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in SHORT else [pytest.mark.long])
        for name in builtin_suites()
        if load_suite(name).settings.kind != "sharpness"
    ],
)
def test_the_table_of_every_suite_compiles_and_fits_the_page(name, tmp_path):
    suite = load_suite(name)
    text = report.render(report.tables(filled(suite), suites=[suite]), "latex")
    assert text.isascii()
    assert rf"\label{{tab:{name}}}" in text
    assert too_wide(compiled(tmp_path, text)) == []


@needs_latex
def test_a_grid_of_hundreds_of_rows_goes_on_on_the_next_page(tmp_path):
    suite = load_grid("cifar10", opts=["adam_cm"])
    log = compiled(tmp_path, report.render(report.tables(filled(suite), suites=[suite]), "latex"))
    assert too_wide(log) == []
    assert int(re.search(r"Output written on it.pdf \((\d+) page", log).group(1)) > 2


@needs_latex
def test_the_verdicts_and_the_tables_of_the_paper_compile(tmp_path):
    results = [result for name in ("table1", "cifar10", "escape_1d") for result in filled(load_suite(name))]
    parts = [report.render_claims(report.judge(results), "latex")]
    parts += [report.render(report.place_tables("table", number, results).tables, "latex") for number in range(1, 15)]
    text = "\n".join(parts)
    assert text.isascii()
    assert too_wide(compiled(tmp_path, text)) == []
