"""`cmbench suites` lists what ships and prints a suite that resolves to itself."""

import itertools
import json

import yaml

from cmbench.experiments.suite import builtin_suites


def test_every_suite_has_one_entry(cmbench):
    listed = json.loads(cmbench("suites", "--json").stdout)
    assert {entry["name"] for entry in listed} == {*builtin_suites()}
    assert len(listed) == len(builtin_suites())
    assert all(entry["kind"] and entry["description"] for entry in listed)
    lines = cmbench("suites").stdout.splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert names == [entry["name"] for entry in listed]


def test_they_are_grouped_by_kind_and_figures_stand_in_the_order_of_their_numbers(cmbench):
    listed = json.loads(cmbench("suites", "--json").stdout)
    kinds = [entry["kind"] for entry in listed]
    assert [kind for kind, _ in itertools.groupby(kinds)] == list(dict.fromkeys(kinds))
    toys = [entry["name"] for entry in listed if entry["kind"] == "toy"]
    assert toys.index("figure2") < toys.index("figure11")
    assert {entry["kind"] for entry in json.loads(cmbench("suites", "--kind", "toy", "--json").stdout)} == {"toy"}


def test_one_as_json_says_what_its_file_says(cmbench):
    printed = cmbench("suites", "digits", "--set", "epochs=3", "--json").stdout
    assert json.loads(printed) == yaml.safe_load(cmbench("suites", "digits", "--set", "epochs=3").stdout)


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
