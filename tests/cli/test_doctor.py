"""`cmbench doctor`: the machine, the schema that results follow, the proof of resumption."""

import json

import jsonschema
import pytest


def test_it_says_what_this_machine_offers(cmbench):
    out = cmbench("doctor").stdout
    assert "torch 2." in out
    assert "here: wine, digits" in out
    found = json.loads(cmbench("doctor", "--json").stdout)
    assert found["data"]["digits"] is True
    assert found["resume"] is None
    assert "accepted: with --suite" in cmbench("doctor", "--steps", "9", code=2).stderr


def test_results_follow_the_published_schema(cmbench):
    schema = json.loads(cmbench("doctor", "--schema").stdout)
    cmbench("train", "--suite", "digits", "--opt", "adam_cm", "--seeds", "1", "--set", "max_steps=5")
    (result,) = cmbench.results()
    jsonschema.validate(result, schema)
    for name in ("id", "status", "settings"):
        broken = {key: value for key, value in result.items() if key != name}
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(broken))


def test_verdicts_and_baselines_follow_theirs(cmbench):
    cmbench("toy", "--suite", "table1", "--steps", "20", "--quiet")
    cmbench("compare", "--save", "baseline.json")
    claims = json.loads(cmbench("report", "--claims", "--format", "json").stdout)
    baseline = json.loads((cmbench.folder / "baseline.json").read_text())
    for name, document, part in (("claims", claims, "claims"), ("baseline", baseline, "groups")):
        schema = json.loads(cmbench("doctor", "--schema", name).stdout)
        jsonschema.validate(document, schema)
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(document | {part: [{"id": 1}]}))


@pytest.mark.long
def test_it_kills_a_training_and_proves_that_it_resumes(cmbench):
    found = json.loads(cmbench("doctor", "--suite", "digits", "--opt", "adam_sam_cm", "--steps", "40", "--json").stdout)
    proof = found["resume"]
    assert proof["differences"] == []
    assert proof["steps"] == 40
    assert 20 <= proof["killed_after"] < 40
    assert proof["parameters"] == 9_930
    assert cmbench.files() == []
    done = cmbench("doctor", "--suite", "ptb", "--data-dir", "elsewhere", code=2)
    assert "cmbench: workload ptb: its data is not in elsewhere" in done.stderr
