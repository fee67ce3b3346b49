"""The campaign itself: a small one runs, what is lost is found, and its table in the documentation is whole."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign import _run
from tests.campaign.attack import Attack, Outcome, deadline

ROOT = Path(__file__).parents[2]


def test_a_row_runs(tmp_path):
    line = [sys.executable, "-m", "tests.campaign", "--rows", "Suites, mutated", "--minutes", "0.1", "--seed", "1"]
    kept = ["--keep", tmp_path / "kept.json"]
    done = subprocess.run([*line, *kept], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| Suites, mutated +\|.*\| 8 +\| 8 +\|", done.stdout)
    assert '"tried": 8' in (tmp_path / "kept.json").read_text()


def test_what_is_lost_is_counted_and_the_exit_code_is_1(monkeypatch, capsys):
    def run(rng, folder):
        assert folder.is_dir()
        while True:
            yield Outcome("the third" if rng.random() < 0.5 else None, "here")

    monkeypatch.setattr(_run, "attacks", lambda: {"a": Attack("a", "all", 600, run)})
    tally = _run.carried_out("a", 1, 1)
    assert tally.tried == 10
    assert 0 < len(tally.lost) < 10
    assert tally.where == {"here": 10}
    assert "LOST: a: the third" in capsys.readouterr().err
    assert _run.carried_out("a", 1, 1).lost == tally.lost, "a seed decides what is tried"


def test_a_deadline_ends_what_hangs():
    def hang():
        while True:
            random.random()

    with deadline(0.05), pytest.raises(TimeoutError):
        hang()


def test_the_table_in_the_documentation_has_every_row_and_nothing_is_lost():
    page = (ROOT / "docs" / "campaign.md").read_text(encoding="utf-8")
    table = page.partition(_run.BEGIN)[2].partition(_run.END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    assert [row[0] for row in rows] == list(_run.attacks())
    for row, attack in zip(rows, _run.attacks().values(), strict=True):
        tried, survived = (int(row[i].replace(",", "")) for i in (2, 3))
        assert tried == survived >= attack.tries, row
