"""What the paper claims is judged by the numbers of a table, and by nothing else."""

from __future__ import annotations

import re

import pytest

from cmbench import report
from cmbench.experiments.plan import plan_landscapes, plan_training
from cmbench.experiments.settings import PaperReference
from cmbench.experiments.suite import load_suite
from cmbench.optim.registry import REGISTRY
from cmbench.report.judging import judge
from cmbench.report.paper.claims import CLAIMS
from cmbench.report.paper.numbers import VALUES
from cmbench.report.table import Cell, Row, Table
from tests.report.results import DATA, column_of, key_pattern, result_of, train_results

COLUMNS = (column_of("loss_final", "loss", "lower"), column_of("sharpness", "sharpness", "lower"))


def table(values):
    """Rows by (optimizer, hyperparameters): loss and sharpness."""
    rows = tuple(
        Row(name, tuple(Cell(value) for value in numbers), name, name, dict(hyperparameters))
        for (name, hyperparameters), numbers in values.items()
    )
    return Table("mine", "toy", "mine", (), {}, COLUMNS, rows)


def toy(adam=1.0, sam=1.0, cg=0.9, cm=0.5):
    names = {"adam": adam, "adam_sam": sam, "adam_cg": cg, "adam_cm": cm}
    return table({(name, ()): (loss, 1.0) for name, loss in names.items()})


def test_a_claim_comes_out_when_the_order_is_that_of_the_paper():
    loss, sharpness = judge(toy(), PaperReference(table=1), "levy")
    assert loss == "paper, Table 1: Adam+CM ends at the lowest loss. This comes out."
    assert "is undecided" in sharpness  # all equal


def test_what_contradicts_a_claim_is_named_with_its_numbers():
    loss, _ = judge(toy(adam=-2.5, cm=0.5), PaperReference(table=1), "levy")
    assert "does NOT come out: loss: adam_cm 0.5 beside adam −2.5." in loss
    assert "adam_cg" not in loss


def test_claims_belong_to_their_place_surface_and_rows():
    assert judge(toy(), PaperReference(table=2)) == []
    assert judge(toy(), PaperReference(table=1), "ackley") == []
    without_sam = table({("adam", ()): (1, 1), ("adam_cm", ()): (0, 0), ("adam_cg", ()): (1, 1)})
    assert judge(without_sam, PaperReference(table=1), "levy") == []


def test_rows_are_told_apart_by_their_hyperparameters():
    deeper, flatter = {"capacity": 20, "decay": 0.99}, {"capacity": 5, "decay": 0.99}
    values = {("adam_cm", tuple(deeper.items())): (1.0, 9.0), ("adam_cm", tuple(flatter.items())): (2.0, 8.0)}
    (sentence,) = judge(table(values), PaperReference(table=5))
    assert "does NOT come out: sharpness: adam_cm 9 beside adam_cm 8." in sentence


def test_claims_name_registered_optimizers_existing_columns_and_places_that_suites_or_published_numbers_have():
    published = {("table", value.table) for value in VALUES}
    patterns = [key_pattern(column) for columns in report.COLUMNS.values() for column in columns]
    for claim in CLAIMS:
        assert all(of.optimizer in REGISTRY for group in claim.order for of in group)
        ends = {f" s={s:g}" for s in claim.at_sharpness} or {""}
        keys = {metric + end for metric in claim.metrics for end in ends}
        assert all(any(re.fullmatch(pattern, key) for pattern in patterns) for key in keys)
        assert claim.place in published or load_suite("{}{}".format(*claim.place)).settings.paper is not None


@pytest.mark.parametrize(("number", "column", "count"), [
    (2, "ptb", 1), (2, "cifar10", 2), (2, "cifar100", 1), (2, "imagenet", 1),
    (3, "cifar10", 1), (3, "cifar100", 1), (4, "tinyimagenet", 1), (4, "5-dataset", 1),
])  # fmt: skip
def test_claims_about_training_come_out_of_the_papers_own_numbers(number, column, count):
    own = [v for v in VALUES if (v.table, v.column, v.place) == (number, column, None)]
    metrics, names = (list(dict.fromkeys(getattr(v, key) for v in own)) for key in ("metric", "optimizer"))
    by = {(v.optimizer, v.metric): v.value for v in own}
    rows = tuple(Row(n, tuple(Cell(by[n, metric]) for metric in metrics), n, n) for n in names)
    printed = Table("mine", "train", "mine", (), {}, tuple(map(column_of, metrics)), rows)
    verdicts = judge(printed, PaperReference(table=number, column=column))
    assert len(verdicts) == count
    assert all(verdict.endswith("This comes out.") for verdict in verdicts)


def escape_results(sets=(), **escaped):
    suite = load_suite("figure5", sets=sets)
    specs = plan_landscapes(suite)
    results = [
        result_of(spec, lanes={f"escaped_{c}": escaped[spec.optimizer.name] for c in ("all", "nearer")})
        for spec in specs
    ]
    return report.tables(results, suites=[suite])[0].footnotes


def test_a_table_of_the_suites_own_settings_carries_its_verdicts():
    yes, no = [True] * 3, [False] * 3
    notes = [note for note in escape_results(adam=no, adam_cg=[True, False, False], adam_cm=yes) if "paper" in note]
    assert len(notes) == 2
    assert all(note.endswith("This comes out.") for note in notes)
    (first, _) = (n for n in escape_results(adam=no, adam_cg=yes, adam_cm=[True, False, True]) if "paper" in n)
    assert "does NOT come out: mean: Adam+CM 0.667 beside Adam+CG 1" in first


@pytest.mark.parametrize("sets", [["steps=7"], ["lr=0.2"]])
def test_other_settings_or_hyperparameters_are_not_held_against_the_paper(sets):
    notes = escape_results(sets, adam=[False] * 3, adam_cg=[True] * 3, adam_cm=[False] * 3)
    assert not any("paper, Figure" in note for note in notes)


def test_two_numbers_that_contradict_a_claim_are_printed_so_that_they_differ():
    loss, _ = judge(toy(adam=0.50008, cm=0.5001), PaperReference(table=1), "levy")
    assert "adam_cm 0.5001 beside adam 0.50008." in loss


def training_notes(accuracies, extra=(), sets=()):
    suite = load_suite("cifar10", sets=sets)
    specs = plan_training(suite, DATA)
    results = train_results(specs, accuracies)
    results += [result_of(spec, "diverged") for spec in specs if (spec.optimizer.label, spec.seed) in extra]
    return [note for note in report.tables(results, suites=[suite])[0].footnotes if note.startswith("paper, Table 2")]


ACCURACIES = {"adam": [93.0], "adam_cg": [93.5], "adam_sam": [93.6], "adam_cm": [94.0], "adam_sam_cm": [93.9]}


def test_a_training_table_says_what_comes_out_by_its_means():
    best, baselines = training_notes(ACCURACIES)
    assert "Adam+SAM+CM reaches the best accuracy. This does NOT come out: best val. accuracy %: " in best
    assert "Adam+SAM+CM 93.9 beside Adam+CM 94." in best
    assert baselines.endswith("Adam+CM is better than Adam, Adam+CG and Adam+SAM. This comes out.")


def test_a_training_table_is_silent_about_rows_that_are_absent_diverged_or_set_otherwise():
    assert training_notes({k: v for k, v in ACCURACIES.items() if k != "adam"}) == []
    assert training_notes(ACCURACIES, extra=[("adam", 1)]) == []
    assert training_notes(ACCURACIES, sets=["epochs=60"]) == []
