"""Verdicts in every format say the same."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from cmbench import report
from cmbench.errors import UserError
from cmbench.experiments.plan import plan_landscapes
from cmbench.experiments.suite import load_suite
from cmbench.report.paper.claims import CLAIMS
from tests.report.results import result_of


@pytest.fixture(scope="module")
def verdicts():
    rng = np.random.default_rng(4)
    means = {"adam": 3.0, "adam_sam": 6.0, "adam_cg": 0.5, "adam_cm": 1.0}

    def lanes(spec):
        n, mean = spec.settings.count, means[spec.optimizer.name]
        if spec.optimizer.name == "adam_sam" and spec.settings.surface == "levy":
            n = 0
        return {"loss_final": list(rng.normal(mean, 1.0, n)), "sharpness": list(rng.normal(mean, 50.0, n))}

    results = [result_of(spec, lanes=lanes(spec)) for spec in plan_landscapes(load_suite("table1"))]
    results = [r for r in results if r.optimizer.name != "adam_sam" or r.settings["surface"] != "levy"]
    return report.judge(results)


def found(verdicts):
    return {v.claim.id: v.verdict for v in verdicts}


def test_the_scenario_has_a_verdict_of_every_kind(verdicts):
    assert set(found(verdicts).values()) == {"contradicted", "inconclusive", "incomplete", "reproduced", "not run"}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_lists_what_was_run_and_the_commands_for_the_rest(verdicts, width):
    text = report.render_claims(verdicts, console=Console(width=width, file=io.StringIO()))
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for verdict in verdicts:
        assert verdict.claim.id in words
    assert "contradicted Adam+CM ends at the lowest loss here: Adam+CM − Adam+CG: +0." in words
    assert "Not run cmbench train --suite ptb table2/ptb/cm-best, table2/ptb/sam-second cmbench" in words
    assert "missing: Adam+SAM to complete it: cmbench toy --suite table1" in words
    last = words[words.rindex("1 reproduced") :]
    assert re.match(r"1 reproduced \(1 of them also after Holm's correction over the 4 that were run\)", last)


def test_markdown_and_latex_have_a_row_for_every_claim(verdicts):
    rows = [line for line in report.render_claims(verdicts, "markdown").splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(CLAIMS)
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    latex = report.render_claims(verdicts, "latex")
    assert latex.count("contradicted &") + latex.count("contradicted \\\\") == list(found(verdicts).values()).count(
        "contradicted"
    )


def test_csv_has_a_line_for_every_comparison(verdicts):
    rows = list(csv.DictReader(io.StringIO(report.render_claims(verdicts, "csv"))))
    assert len(rows) == sum(max(1, len(v.pairs)) for v in verdicts)
    (row,) = (r for r in rows if r["id"] == "table1/goldstein_price/cm-lowest-loss" and r["worse"] == "Adam+CG")
    (verdict,) = (v for v in verdicts if v.claim.id == row["id"])
    assert float(row["effect"]) == verdict.pairs[2].comparison.effect
    assert (row["verdict"], float(row["p"])) == (verdict.verdict, verdict.p)


def test_json_has_what_the_design_names(verdicts):
    document = json.loads(report.render_claims(verdicts, "json"))
    assert document["schema"] == "cmbench.claims/1"
    assert {claim["id"]: claim["verdict"] for claim in document["claims"]} == found(verdicts)
    claim = next(c for c in document["claims"] if c["id"] == "table1/goldstein_price/cm-lowest-loss")
    assert claim["as_printed"] == {"verdict": "no spread", "p": None, "ordered": True}
    assert {"id", "place", "text", "as_printed", "pairs", "p_holm", "verdict", "needed"} <= claim.keys()
    low, high = claim["pairs"][2]["interval"]
    assert 0 < low < claim["pairs"][2]["effect"] < high


def test_another_format_is_refused(verdicts):
    with pytest.raises(UserError, match="unknown format 'html'"):
        report.render_claims(verdicts, "html")
