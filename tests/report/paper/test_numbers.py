"""The published numbers: complete, under registered names, found by what identifies them."""

from collections import Counter

import pytest

from cmbench.optim.registry import REGISTRY
from cmbench.report.paper.lookup import paper_value
from cmbench.report.paper.numbers import VALUES


def test_every_number_belongs_to_a_registered_optimizer_and_stands_once():
    assert {value.optimizer for value in VALUES} <= set(REGISTRY)
    places = Counter((v.table, v.column, v.optimizer, v.metric, tuple(v.hyperparameters.items())) for v in VALUES)
    assert set(places.values()) == {1}


def test_tables_have_as_many_numbers_as_the_paper_prints():
    # 8 rows × 2; 5 × 4 and one in the text; 3 rows × 2 × 2; 5 × 2; 6 rows × 2; 3 rows
    assert Counter(value.table for value in VALUES) == {1: 16, 2: 21, 3: 12, 4: 10, 5: 12, 14: 3}


@pytest.mark.parametrize(
    ("table", "column", "optimizer", "metric", "hyperparameters", "value", "spread"),
    [
        (1, "levy", "adam_cm", "loss_final", {"capacity": 20}, 12.50, None),
        (2, "ptb", "adam_sam", "val_perplexity_best", {}, 168.7, 1.9),
        (2, "imagenet", "adam_cm", "val_accuracy_best", {"lr": 1e-4}, 71.7, 0.2),
        (3, "cifar10", "sgd_cm", "val_accuracy_best", {}, 93.1, 0.1),
        (4, "tinyimagenet", "adam_sam_cm", "learning_accuracy", {}, 63.9, 0.7),
        (5, "levy", "adam_cg", "sharpness", {"capacity": 5, "decay": 0.99, "lr": 0.1}, 64.67, None),
        (14, "cifar10", "adam", "val_accuracy_best", {"lr": 0.0001}, 93.4, 0.2),
    ],
)
def test_a_number_is_found_as_printed(table, column, optimizer, metric, hyperparameters, value, spread):
    found = paper_value(table, column, optimizer, metric, hyperparameters)
    assert (found.value, found.spread) == (value, spread)


def test_other_hyperparameters_than_the_tables_have_no_number():
    assert paper_value(5, "levy", "adam_cm", "loss_final", {"capacity": 10, "decay": 0.99}) is None
    assert paper_value(14, "cifar10", "adam", "val_accuracy_best", {"lr": 0.1}) is None
    assert paper_value(2, "digits", "adam", "val_accuracy_best", {}) is None
