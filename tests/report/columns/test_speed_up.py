"""The speed-up of Table 3: who is as good as SGD in how many fewer epochs, from the curves of stored runs."""

import io

import pytest
from rich.console import Console

from cmbench import report
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report import render
from tests.report.results import DATA, result_of

RISING = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]  # SGD: its best at epoch 6
AT_2 = [10.0, 60.0, 60.0, 60.0, 60.0, 60.0]  # 6/2 = 3
AT_4 = [10.0, 10.0, 10.0, 65.0, 60.0, 60.0]  # 6/4 = 1.5
NEVER = [59.0] * 6


def results_of(suite, curves):
    """Completed runs by label: a curve per seed, None for a seed that is missing."""
    return [
        result_of(
            spec,
            metrics={"val_accuracy_best": max(curve), "val_accuracy_final": curve[-1]},
            curves={"val_accuracy": curve},
        )
        for spec in plan_training(suite, DATA)
        if (curve := dict(enumerate(curves.get(spec.optimizer.label, ()))).get(spec.seed))
    ]


def table_of(curves, name="cifar10_sgd"):
    suite = load_suite(name, sets=["seeds=2"])
    (table,) = report.tables(results_of(suite, curves), suites=[suite])
    return table


def speed_ups(table):
    place = [column.key for column in table.columns].index("speed_up")
    return {row.label: row.cells[place] for row in table.rows}


def test_it_is_averaged_over_seeds_beside_the_papers_number():
    found = speed_ups(table_of({"sgd": [RISING, RISING], "sgd_cg": [RISING, RISING], "sgd_cm": [AT_2, AT_4]}))
    assert (found["sgd"].value, found["sgd"].spread) == (1.0, None)
    assert found["sgd_cm"].value == pytest.approx((3 + 1.5) / 2)
    assert found["sgd_cm"].spread == pytest.approx(1.5 / 2**0.5)  # |3 − 1.5|/√2
    assert (found["sgd_cm"].best, found["sgd_cg"].best) == (True, False)
    assert [found[label].paper.value for label in ("sgd", "sgd_cg", "sgd_cm")] == [1.0, 1.2, 1.3]


def test_curves_of_the_same_seed_are_compared():
    found = speed_ups(table_of({"sgd": [RISING, NEVER], "sgd_cm": [AT_2, NEVER]}))
    assert found["sgd_cm"].value == pytest.approx((6 / 2 + 1) / 2)


def test_epochs_after_the_fiftieth_do_not_count():
    late = [10.0] * 49 + [20.0] + [90.0] * 50
    found = speed_ups(table_of({"sgd": [late, late], "sgd_cm": [[10.0] * 24 + [20.0] * 76] * 2}))
    assert found["sgd_cm"].value == 2.0


def test_a_seed_that_never_gets_there_is_named_and_not_the_best():
    table = table_of({"sgd": [RISING, RISING], "sgd_cg": [NEVER, NEVER], "sgd_cm": [AT_2, NEVER]})
    found = speed_ups(table)
    assert (found["sgd_cm"].value, found["sgd_cm"].n, found["sgd_cm"].best) == (3.0, 1, False)
    assert found["sgd_cm"].notes == ("not reached in 1 of 2 seeds",)
    assert (found["sgd_cg"].value, found["sgd_cg"].notes) == (None, ("not reached in 2 of 2 seeds",))


def test_a_seed_that_sgd_lacks_is_left_out_and_said():
    found = speed_ups(table_of({"sgd": [RISING], "sgd_cm": [AT_2, AT_4]}))
    assert (found["sgd_cm"].value, found["sgd_cm"].n, found["sgd_cm"].notes) == (3.0, 1, ("n=1",))


def test_only_a_suite_of_table_3_with_sgd_has_the_column():
    without = table_of({"sgd_cm": [AT_2, AT_4]})
    suite = load_suite("cifar10_sgd", opts=["sgd_cm"])
    (alone,) = report.tables(results_of(suite, {"sgd_cm": [AT_2]}), expected=plan_training(suite, DATA))
    (other,) = report.tables(results_of(load_suite("digits"), {"adam": [RISING], "adam_cm": [AT_2]}))
    assert speed_ups(without)["sgd_cm"].value is None  # planned, not run
    for table in (alone, other):
        assert "speed_up" not in [column.key for column in table.columns]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_it_is_printed_with_its_definition(width):
    table = table_of({"sgd": [RISING, RISING], "sgd_cg": [AT_4, AT_2], "sgd_cm": [AT_2, AT_2]})
    text = render([table], console=Console(width=width, file=io.StringIO()))
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    assert "2.25 ± 1.06" in words
    assert "3.00 ± 0.00*" in words
    assert "speed-up: epochs that SGD takes to its best validation accuracy of the first 50 epochs" in words
    assert "sooner to what SGD reaches in 50 epochs: incomplete (3 of 5 seeds missing: SGD+CG, SGD+CM, SGD)" in words
