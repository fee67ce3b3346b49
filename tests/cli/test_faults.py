"""Faults of ours, and files that are hostile: a sentence and an exit code, never a traceback."""

import re
from pathlib import Path

import pytest


def test_a_fault_of_ours_is_70_and_its_details_are_in_a_file(cmbench, monkeypatch, tmp_path):
    def broken(*_, **__):
        raise ZeroDivisionError("two words")

    monkeypatch.setattr("cmbench.experiments.suite.builtin_suites", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = cmbench("suites", "digits", code=70)
    first, second = done.stderr.splitlines()
    assert first == "cmbench: a fault of cmbench, not yours: ZeroDivisionError: two words"
    details = Path(re.search(r"\S+cmbench-fault-\w+\.txt", second)[0]).read_text(encoding="utf-8")
    assert details.startswith("cmbench 0.1.0, Python 3.")
    assert details.splitlines()[0].endswith(": suites digits")
    assert "in broken" in details
    assert done.stdout == ""


def test_where_no_file_can_be_written_the_details_are_printed(cmbench, monkeypatch):
    monkeypatch.setattr("cmbench.experiments.suite.builtin_suites", lambda: 1 / 0)
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    assert "ZeroDivisionError: division by zero" in cmbench("suites", "digits", code=70).stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("epochs: [[[", "not valid YAML"),
        ("epochs: !!int x", "invalid literal"),
        ("kind: [train]", "unknown kind"),
        ("optimizers: {adam: {name: [adam]}}", "optimizers.adam.name: ['adam']: accepted: a name"),
        ("optimizers: {adam: {lr: 1" + "0" * 400 + ".0}}", "invalid lr: inf"),
        ("epochs: " + "[" * 900 + "]" * 900, "nested more than 50 deep"),
    ],
    ids=["open", "tag", "kind", "name", "lr", "depth"],
)
def test_a_suite_that_no_person_writes(change, said, cmbench):
    key = change.partition(":")[0]
    lines = {"kind": "train", "description": "x", "workload": "wine", "epochs": "2", "batch_size": "16",
             "optimizers": "{adam: {lr: 1e-3}}"}  # fmt: skip
    text = "".join(f"{name}: {value}\n" for name, value in lines.items() if name != key)
    (cmbench.folder / "mine.yaml").write_text(f"{text}{change}\n")
    assert said in cmbench("suites", "mine.yaml", code=2).stderr


def test_keys_inside_a_number_and_names_longer_than_any_file(cmbench):
    assert (
        "there are no keys in 'epochs', which is 12"
        in cmbench("suites", "digits", "--set", "epochs.x=1", code=2).stderr
    )
    assert "no such file" in cmbench("suites", "x" * 5000 + ".yaml", code=2).stderr


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '{"a": 1}', "\udcff", ""], ids=lambda text: text[:3])
def test_a_result_that_is_none(text, cmbench):
    file = cmbench.folder / "results" / "digits" / "adam" / "0123456789abcdef.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode(errors="surrogateescape"))
    assert "not a result" in cmbench("sharpness", file, code=2).stderr
