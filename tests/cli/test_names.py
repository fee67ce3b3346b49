"""Names that strangers have written: nothing of them steers a terminal, a page or a spreadsheet."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmbench.cli.streams import in_ascii
from tests.cli.test_limits import SUITE as WITH_ADAM

SUITE = WITH_ADAM.replace("  adam: {lr: 0.1}\n", "")
LABELS = ["=1+1", "+x", "-cmd", "@y", "a|b](http://x)", "<script>", "C=5"]
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\nnew line\x9b1m\u202e"


def toy(cmbench, labels):
    entries = "".join(f"  {json.dumps(label)}: {{name: adam, lr: 0.{i + 1}}}\n" for i, label in enumerate(labels))
    (cmbench.folder / "mine.yaml").write_text(SUITE + entries)
    return ("toy", "--suite", "mine.yaml")


@pytest.mark.parametrize("label", ["a\x1bb", "two\nlines", "tab\t", "\x9b", "\u202eright to left"])
def test_a_label_that_cannot_be_printed_is_refused(label, cmbench):
    done = cmbench(*toy(cmbench, [label]), code=2)
    assert "accepted: a label of one line that can be printed" in done.stderr
    assert done.stderr.isprintable() or done.stderr.rstrip("\n").isprintable()


def test_a_file_whose_name_cannot_be_printed_is_refused(cmbench):
    (cmbench.folder / "mine\x1b.yaml").write_text(SUITE + "  adam: {}\n")
    done = cmbench("toy", "--suite", "mine\x1b.yaml", code=2)
    assert "\x1b" not in done.stderr


@pytest.fixture
def hostile(cmbench):
    """A folder with results into which somebody has written what steers a terminal, wherever there is text."""
    cmbench(*toy(cmbench, LABELS))
    for path in cmbench.files("results/**/*.json")[:3]:
        result = json.loads(path.read_text())
        result["optimizer"]["label"] += HOSTILE
        result["optimizer"]["hyperparameters"][HOSTILE] = HOSTILE
        result["settings"]["surface"] += HOSTILE
        result["environment"][HOSTILE] = HOSTILE
        result |= {"status": "failed", "error": HOSTILE}
        path.write_text(json.dumps(result, ensure_ascii=path.name < "8"), encoding="utf-8")
    return cmbench


@pytest.mark.parametrize("form", ["terminal", "markdown", "csv", "latex", "json"])
def test_no_format_passes_on_what_steers(form, hostile):
    done = hostile.run("report", "--format", form)
    assert done.returncode in (0, 4)
    assert "owned" in done.stdout
    assert not {*"\x1b\x07\x9b\r\u202e"} & {*done.stdout + done.stderr}
    assert "\nnew line" not in done.stdout


def test_a_spreadsheet_finds_no_formula_and_markdown_no_link(cmbench):
    cmbench(*toy(cmbench, LABELS))
    rows = list(csv.reader(io.StringIO(cmbench("report", "--format", "csv").stdout)))
    texts = [cell for row in rows for cell in row if cell and not cell.replace(".", "").replace("e-", "").isdigit()]
    assert not [text for text in texts if text[0] in "=+@" or (text[0] == "-" and not text[1].isdigit())]
    assert {"'=1+1", "'+x", "'-cmd", "'@y"} <= {row[5] for row in rows}
    markdown = cmbench("report", "--format", "markdown").stdout
    assert "](http" not in markdown
    assert "\\<script>" in markdown


@given(st.text())
def test_a_text_in_ascii_ends_no_other(text):
    value = json.loads(in_ascii(json.dumps([text], ensure_ascii=False)))
    assert len(value) == 1
    stream = io.StringIO()
    csv.writer(stream).writerow([text, "after"])
    (row,) = csv.reader(io.StringIO(in_ascii(stream.getvalue()), newline=""), strict=True)
    assert row[1:] == ["after"]
    if not {*"<>`"} & {*text}:
        assert not {*"<>`"} & {*in_ascii(text.translate(ARROWS))}


ARROWS = dict.fromkeys(map(ord, "→←≤≥"), " ")
"""Their forms hold a bracket, beside another sign."""


def test_what_ascii_lacks_hides_no_formula_and_no_tag(cmbench):
    cmbench(*toy(cmbench, ["＝1+1", "“q”", "＜img src=x＞", "−cmd", "±x"]))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    formats = {}
    for form in ("json", "csv", "markdown"):
        done = subprocess.run(
            cmbench.line("report", "--format", form),
            cwd=cmbench.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        formats[form] = done.stdout
    assert json.loads(formats["json"])
    labels = {row[5] for row in csv.reader(io.StringIO(formats["csv"]))}
    assert {"'?1+1", "''q'", "'?img src=x?", "'-cmd", "'+-x"} < labels
    assert "<img" not in formats["markdown"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "shift_jis"])
@pytest.mark.parametrize("line", ["report", "optimizers adam_cm", "report --explain", "toy --suite mine.yaml"])
def test_any_encoding_can_take_what_is_printed(encoding, line, cmbench):
    cmbench(*toy(cmbench, ["größe", "a"]))
    printed, told = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cmbench.folder)
        patch.setattr(sys, "argv", ["cmbench", *line.split()])
        patch.setattr(sys, "stdout", printed)
        patch.setattr(sys, "stderr", told)
        from cmbench.cli.main import main

        with pytest.raises(SystemExit) as end:
            main()
        printed.flush()
    assert end.value.code == 0
    text = printed.buffer.getvalue().decode(encoding)
    assert {"optimizers adam_cm": "Adam+CM"}.get(line, "levy" if "explain" not in line else "starts") in text
    if encoding == "ascii" and line == "report":
        assert " +- " in text
        assert "groesse" in text


def test_files_are_utf_8_whatever_the_locale_says(cmbench):
    line = toy(cmbench, ["a"])
    suite = cmbench.folder / "mine.yaml"
    suite.write_text(suite.read_text().replace("two starts", "größe"), encoding="utf-8")
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for each in (line, ("suites",), ("report", "--html", "page.html")):
        done = subprocess.run(
            cmbench.line(*each), cwd=cmbench.folder, env=environment, capture_output=True, timeout=120
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()
        assert done.stdout.isascii()
    toy(cmbench, ["größe"])
    done = subprocess.run(cmbench.line(*line), cwd=cmbench.folder, env=environment, capture_output=True, timeout=120)
    assert (done.returncode, b"PYTHONUTF8=1 helps" in done.stderr) == (2, True), done.stderr.decode()
    assert "levy" in (cmbench.folder / "page.html").read_text(encoding="utf-8")
