"""`cmbench suites` lists what ships and prints a suite that resolves to itself."""

import json

from cmbench.experiments.suite import builtin_suites


def test_every_suite_has_one_entry(cmbench):
    listed = json.loads(cmbench("suites", "--json").stdout)
    assert [entry["name"] for entry in listed] == list(builtin_suites())
    assert all(entry["kind"] and entry["description"] for entry in listed)
    table = cmbench("suites").stdout
    assert all(entry["name"] in table for entry in listed)


def test_a_printed_suite_is_a_file_that_resolves_to_itself(cmbench):
    for name in builtin_suites():
        printed = cmbench("suites", name).stdout
        (cmbench.folder / "copy.yaml").write_text(printed)
        assert cmbench("suites", "copy.yaml").stdout == printed


def test_overrides_show(cmbench):
    printed = cmbench("suites", "digits", "--opt", "adam", "--set", "lr=1e-2", "--set", "schedule=constant").stdout
    assert "lr: 0.01" in printed
    assert "name: constant" in printed
    assert "adam_cm" not in printed
