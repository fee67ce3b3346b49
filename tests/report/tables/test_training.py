"""What a table of training runs averages, compares by seed, counts and leaves out."""

import numpy
import pytest
from scipy import stats

from cmbench import report
from cmbench.experiments.plan import plan_training
from tests.report.results import (
    DATA,
    TRAIN,
    cell,
    result_of,
    runs_of,
    sharpness_of,
    suite_file,
    train_results,
    trained,
)

ACCURACIES = {"adam": [90.0, 91.0, 95.0], "adam_cm": [92.0, 92.5, 96.0], "adam_cm C=20": [91.0, 91.0, 94.0]}


@pytest.fixture
def suite(tmp_path):
    return suite_file(tmp_path, TRAIN)


def test_cells_are_means_and_sample_deviations_over_seeds(suite):
    (table,) = report.tables(train_results(plan_training(suite, DATA), ACCURACIES), suites=[suite])
    best = cell(table, "adam_cm", "val_accuracy_best")
    assert best.value == pytest.approx(numpy.mean(ACCURACIES["adam_cm"]))
    assert best.spread == pytest.approx(numpy.std(ACCURACIES["adam_cm"], ddof=1))
    assert (best.n, best.best) == (3, True)
    assert cell(table, "adam_cm", "distance").value == pytest.approx(11.0)
    assert cell(table, "adam", "train_loss_final").best is False
    assert cell(table, "adam_cm", "gradient_evaluations").value == 100


def test_differences_are_paired_by_seed_with_a_t_interval(suite):
    (table,) = report.tables(train_results(plan_training(suite, DATA), ACCURACIES), suites=[suite])
    versus = cell(table, "adam_cm", "val_accuracy_best_vs_adam")
    interval = stats.ttest_rel(ACCURACIES["adam_cm"], ACCURACIES["adam"]).confidence_interval(0.95)
    assert versus.value == pytest.approx(numpy.mean(numpy.subtract(ACCURACIES["adam_cm"], ACCURACIES["adam"])))
    assert versus.interval == pytest.approx((interval.low, interval.high))
    assert cell(table, "adam", "val_accuracy_best_vs_adam").value is None


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_common_seeds_give_no_column_of_differences(suite, seeds):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0, 91.5][:seeds], "adam_cm": [91.0, 92.0][:seeds]})
    (table,) = report.tables(results, suites=[suite])
    assert not any("_vs_" in column.key for column in table.columns)


def test_a_difference_that_is_the_same_in_every_seed_has_no_interval(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0, 91.0, 92.0], "adam_cm": [90.5, 91.5, 92.5]})
    results += train_results(plan_training(suite, DATA), {"adam_cm C=20": [91.5, 91.0, 92.0]})
    (table,) = report.tables(results, suites=[suite])
    same = cell(table, "adam_cm", "val_accuracy_best_vs_adam")
    assert (same.value, same.interval, same.notes) == (None, None, ("+0.50 in every seed",))
    assert cell(table, "adam_cm C=20", "val_accuracy_best_vs_adam").interval is not None


def test_diverged_failed_interrupted_and_missing_runs_are_counted_and_not_averaged(suite):
    specs = plan_training(suite, DATA)
    by = {(spec.optimizer.label, spec.seed): spec for spec in specs}
    bad = {"val_accuracy_best": 5.0}
    results = [
        trained(by["adam", 0], 90.0),
        result_of(by["adam", 1], "diverged", diverged_step=312, metrics=bad),
        result_of(by["adam", 2], "failed", error="RuntimeError: no memory"),
        trained(by["adam_cm", 0], 80.0),
        result_of(by["adam_cm", 1], "interrupted", metrics=bad),
    ]
    (table,) = report.tables(results, suites=[suite])
    assert runs_of(table, "adam").text == "1/3 seeds, 1 diverged @ step 312, 1 failed"
    assert runs_of(table, "adam_cm").text == "1/3 seeds, 1 interrupted, 1 missing"
    assert runs_of(table, "adam_cm C=20").text == "0/3 seeds, 3 missing"
    assert cell(table, "adam", "val_accuracy_best").value == 90.0
    assert cell(table, "adam_cm", "val_accuracy_best").value == 80.0
    assert cell(table, "adam_cm C=20", "val_accuracy_best").value is None
    assert any("RuntimeError: no memory" in note for note in table.footnotes)


def test_a_mean_over_the_survivors_of_divergence_is_not_the_best(suite):
    specs = plan_training(suite, DATA)
    results = train_results(specs, {"adam": [99.0, 99.0], "adam_cm": [90.0, 90.0, 90.0]})
    lost = next(spec for spec in specs if spec.optimizer.label == "adam" and spec.seed == 2)
    (table,) = report.tables([*results, result_of(lost, "diverged")], suites=[suite])
    assert not cell(table, "adam", "val_accuracy_best").best
    assert cell(table, "adam_cm", "val_accuracy_best").best


def test_expected_runs_replace_the_suites_plan(suite):
    specs = plan_training(suite, DATA, seeds=[0])[:2]
    (table,) = report.tables([trained(specs[0], 90.0)], suites=[suite], expected=specs)
    assert [(row.label, row.runs.text) for row in table.rows] == [("adam", "1/1"), ("adam_cm", "0/1 seeds, 1 missing")]


def test_sharpness_of_a_training_run_is_a_column_of_its_table(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0, 91.0]})
    measured = [sharpness_of(results[0], 20.0), sharpness_of(results[1], 26.0)]
    (table,) = report.tables([*results, *measured], suites=[suite])
    found = cell(table, "adam", "top_eigenvalue")
    assert (found.value, found.n) == (23.0, 2)
    assert found.spread == pytest.approx(numpy.std([20.0, 26.0], ddof=1))


def test_sharpness_measured_in_two_ways_is_two_columns(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0]})
    measured = [sharpness_of(results[0], 20.0, tolerance=0.01), sharpness_of(results[0], 30.0, tolerance=0.5)]
    (table,) = report.tables([*results, *measured], suites=[suite])
    assert cell(table, "adam", "top_eigenvalue[tolerance=0.01]").value == 20.0
    assert cell(table, "adam", "top_eigenvalue[tolerance=0.5]").value == 30.0


def test_a_measurement_that_failed_is_counted_and_not_averaged(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0, 91.0]})
    failed = sharpness_of(results[1], 99.0).model_copy(update={"status": "failed"})
    (table,) = report.tables([*results, sharpness_of(results[0], 20.0), failed], suites=[suite])
    found = cell(table, "adam", "top_eigenvalue")
    assert (found.value, found.notes) == (20.0, ("n=1", "1 failed"))


def test_overfitting_is_visible_beside_the_perplexity(tmp_path):
    suite = suite_file(tmp_path, TRAIN.replace("cifar10", "ptb"))
    specs = [spec for spec in plan_training(suite, DATA) if spec.optimizer.label == "adam"]
    # In nats, by epoch: the validation loss is least in the second, the third, the second.
    losses = [[5.0, 4.0, 3.0, 2.0], [5.5, 4.5, 3.5, 2.5], [5.2, 4.2, 3.2, 2.2]]
    best = [2, 3, 2]
    results = [
        result_of(
            spec,
            metrics={"val_perplexity_best": 100.0, "val_perplexity_final": 200.0, "epoch_best": best[spec.seed]},
            curves={"train_loss": losses[spec.seed]},
        )
        for spec in specs
    ]
    (table,) = report.tables(results, suites=[suite])
    assert cell(table, "adam", "epoch_best").value == pytest.approx(7 / 3)
    there = numpy.exp([4.0, 3.5, 4.2])
    assert cell(table, "adam", "train_perplexity_best").value == pytest.approx(there.mean())
    assert cell(table, "adam", "train_perplexity_best").spread == pytest.approx(there.std(ddof=1))
    assert cell(table, "adam", "train_perplexity_final").value == pytest.approx(numpy.exp([2.0, 2.5, 2.2]).mean())


def test_accuracies_have_no_training_perplexity(suite):
    specs = plan_training(suite, DATA)
    metrics = {"val_accuracy_best": 90.0, "epoch_best": 4}
    results = [result_of(spec, metrics=metrics, curves={"train_loss": [1.0] * 4}) for spec in specs]
    (table,) = report.tables(results, suites=[suite])
    assert cell(table, "adam", "epoch_best").value == 4
    assert not any("train_perplexity" in column.key for column in table.columns)


def test_a_suites_notes_stand_below_its_table_in_every_format_for_readers(tmp_path):
    note = "The suite holds out 10,000 images."
    suite = suite_file(tmp_path, TRAIN + f"notes: ['{note}']\n")
    results = train_results(plan_training(suite, DATA), ACCURACIES)
    tables = report.tables(results, suites=[suite])
    assert note in tables[0].footnotes
    for format in ("terminal", "markdown", "latex", "json"):
        assert note in report.render(tables, format), format
    plain = suite_file(tmp_path, TRAIN, name="plain")
    assert [s.id for s in plan_training(suite, DATA)] == [s.id for s in plan_training(plain, DATA)]


@pytest.mark.parametrize(
    ("environment", "note"),
    [
        (
            {"data_subset": {"train": [3200, 40_000], "classes": [5, 10]}},
            "trained on 3,200 of 40,000 images, 5 of 10 classes",
        ),
        ({"data_subset": {"train": "many"}}, "a part of it"),
        ({"data_published": False}, "files with other sums than the published ones"),
    ],
)
def test_no_number_of_the_paper_stands_beside_runs_on_other_data(environment, note, tmp_path):
    suite = suite_file(tmp_path, TRAIN, "cifar10")
    results = train_results(plan_training(suite, DATA), ACCURACIES)
    (table,) = report.tables(results, suites=[suite])
    assert cell(table, "adam", "val_accuracy_best").paper.value == 93.9
    others = [result.model_copy(update={"environment": environment}) for result in results]
    (table,) = report.tables(others, suites=[suite])
    assert cell(table, "adam", "val_accuracy_best").paper is None
    assert f"not the published data: cifar10: {note}; no number of the paper stands beside it" in table.footnotes
    assert not any(note.startswith("paper") for note in table.footnotes)
