"""Every column that any table has is explained."""

from __future__ import annotations

import re

import pytest

from cmbench import report
from cmbench.experiments.plan import plan_convergence, plan_landscapes, plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report.columns.sharpness import QUANTITIES
from cmbench.report.columns.telemetry import RECORDED
from tests.report.results import (
    DATA,
    ESCAPE,
    TOY,
    key_pattern,
    lanes,
    result_of,
    sharpness_of,
    suite_file,
    train_results,
    trained,
)  # fmt: skip

PERPLEXITY = {
    "val_perplexity_best": 50.0, "val_perplexity_final": 60.0, "train_loss_final": 1.0, "distance": 1.0,
    "epoch_best": 1, "val_perplexity_average_final": 55.0,
}  # fmt: skip
LEARNING = {"learning_accuracy": 80.0, "learning_accuracy_average": 80.0}


def training_results():
    """Runs of suites with every metric, of Table 3, of a grid, and measurements in two ways and by themselves."""
    results = []
    for name, metrics in (
        ("cifar10_sgd", None),
        ("ptb", PERPLEXITY),
        ("cifar100_sgd", {"val_r2_best": 0.5, "val_r2_final": 0.4, "val_r2_average_final": 0.45}),
        ("digits_online", LEARNING),
        ("five_datasets_online", {"learning_auc": 0.5}),
    ):
        specs = plan_training(load_suite(name, sets=["seeds=3"]), DATA)
        curves = {"train_loss": [1.0]}
        for i, spec in enumerate(specs):
            noise = (i * i) % 7  # no difference is the same in every seed
            measured = {key: value + noise * (key != "epoch_best") for key, value in (metrics or {}).items()}
            results.append(
                result_of(spec, metrics=measured, curves=curves) if metrics else trained(spec, 90.0 + noise)
            )  # fmt: skip
    results[0].curves.update({recorded.name: [1.0, 2.0] for recorded in RECORDED})
    results[0].metrics["epoch_best"] = 1
    for result in results[:1]:
        result.metrics["val_accuracy_average_final"] = 90.0
    digits = train_results(plan_training(load_suite("digits"), DATA), {"adam": [90.0, 91.0], "adam_cm": [92.0, 94.0]})
    lone = train_results(plan_training(load_suite("fashion_mnist"), DATA), {"adam": [90.0]})
    alone = train_results(plan_training(load_suite("gpt"), DATA), {"adam": [90.0]})
    measured = []
    for metric in QUANTITIES:
        ways = [sharpness_of(digits[0], 20.0, metric=metric, examples=examples) for examples in (10, 20)]
        measured += [*ways, sharpness_of(lone[0], 7.0, metric=metric), sharpness_of(alone[0], 7.0, metric=metric)]
    return [*results, *digits, *lone, *measured]


def landscape_results(folder):
    measured = lanes(loss_final=[1.0] * 4, sharpness=[1.0] * 4, reached_global=[True] * 4)
    measured |= {"ever_reached": [True] * 4, "distance_to_minimum": [1.0] * 4, "cancellation": [0.5] * 4}
    toy = [result_of(s, lanes=measured) for s in plan_landscapes(suite_file(folder, TOY, "toys"))]
    escaped = {"escaped_all": [True] * 4, "escaped_nearer": [True] * 4, "escaped_reached": [True] * 4}
    escape = [result_of(s, lanes=escaped) for s in plan_landscapes(suite_file(folder, ESCAPE, "escapes"))]
    curves = {"condition_number": [1, 10], "rate": [0.1, 0.5]}
    return [*toy, *escape, *(result_of(s, curves=curves) for s in plan_convergence(load_suite("convergence")))]


def test_tables_of_every_kind_have_no_column_that_is_not_explained_and_lack_none_that_is(tmp_path):
    shown = {
        (table.kind, column.key)
        for table in report.tables([*training_results(), *landscape_results(tmp_path)])
        for column in table.columns
    }
    explained = {(kind, key_pattern(column)) for kind, columns in report.COLUMNS.items() for column in columns}
    matched = {
        (kind, key): {pattern for of, pattern in explained if of == kind and re.fullmatch(pattern, key)}
        for kind, key in shown
    }
    assert [column for column, patterns in matched.items() if not patterns] == []
    assert {pattern for patterns in matched.values() for pattern in patterns} == {pattern for _, pattern in explained}


@pytest.mark.parametrize(
    "column", [column for columns in report.COLUMNS.values() for column in columns], ids=lambda column: column.key
)
def test_an_explanation_is_a_sentence_that_says_more_than_the_title(column):
    assert re.fullmatch(r"[A-Z].{30,}\.", column.explanation)
    assert column.explanation.rstrip(".").lower() != column.title.lower()


def test_keys_and_titles_of_a_kind_are_unambiguous():
    for columns in report.COLUMNS.values():
        assert len({column.key for column in columns}) == len(columns)
