"""Which runs form a table and a row, what is averaged, what is counted, what is missing."""

import numpy
import pytest
from scipy import stats

from cmbench.experiments.plan import plan_convergence, plan_landscapes, plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report import build_tables
from tests.report.results import (
    DATA,
    ESCAPE,
    TOY,
    TRAIN,
    result_of,
    sharpness_of,
    suite_file,
    train_results,
    trained,
)

ACCURACIES = {"adam": [90.0, 91.0, 95.0], "adam_cm": [92.0, 92.5, 96.0], "adam_cm C=20": [91.0, 91.0, 94.0]}


@pytest.fixture
def suite(tmp_path):
    return suite_file(tmp_path, TRAIN)


def cell(table, label, key):
    row = next(row for row in table.rows if row.label == label)
    return row.cells[[column.key for column in table.columns].index(key)]


def runs(table, label):
    return next(row.runs for row in table.rows if row.label == label)


def test_rows_follow_the_suite_under_the_papers_titles(suite):
    (table,) = build_tables(train_results(plan_training(suite, DATA), ACCURACIES)[::-1], suites=[suite])
    assert [row.title for row in table.rows] == ["Adam", "Adam+CM", "Adam+CM C=20"]
    assert table.differs == {}


def test_cells_are_means_and_sample_deviations_over_seeds(suite):
    (table,) = build_tables(train_results(plan_training(suite, DATA), ACCURACIES), suites=[suite])
    best = cell(table, "adam_cm", "val_accuracy_best")
    assert best.value == pytest.approx(numpy.mean(ACCURACIES["adam_cm"]))
    assert best.spread == pytest.approx(numpy.std(ACCURACIES["adam_cm"], ddof=1))
    assert (best.n, best.best) == (3, True)
    assert cell(table, "adam_cm", "distance").value == pytest.approx(11.0)
    assert cell(table, "adam", "train_loss_final").best is False
    assert cell(table, "adam_cm", "gradient_evaluations").value == 100


def test_differences_are_paired_by_seed_with_a_t_interval(suite):
    (table,) = build_tables(train_results(plan_training(suite, DATA), ACCURACIES), suites=[suite])
    versus = cell(table, "adam_cm", "val_accuracy_best_vs_adam")
    interval = stats.ttest_rel(ACCURACIES["adam_cm"], ACCURACIES["adam"]).confidence_interval(0.95)
    assert versus.value == pytest.approx(numpy.mean(numpy.subtract(ACCURACIES["adam_cm"], ACCURACIES["adam"])))
    assert versus.interval == pytest.approx((interval.low, interval.high))
    assert cell(table, "adam", "val_accuracy_best_vs_adam").value is None


def test_one_common_seed_gives_no_column_of_differences(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0], "adam_cm": [91.0]})
    (table,) = build_tables(results, suites=[suite])
    assert not any("_vs_" in column.key for column in table.columns)


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
    (table,) = build_tables(results, suites=[suite])
    assert runs(table, "adam").text == "1/3 seeds, 1 diverged @ step 312, 1 failed"
    assert runs(table, "adam_cm").text == "1/3 seeds, 1 interrupted, 1 missing"
    assert runs(table, "adam_cm C=20").text == "0/3 seeds, 3 missing"
    assert cell(table, "adam", "val_accuracy_best").value == 90.0
    assert cell(table, "adam_cm", "val_accuracy_best").value == 80.0
    assert cell(table, "adam_cm C=20", "val_accuracy_best").value is None
    assert any("RuntimeError: no memory" in note for note in table.footnotes)


def test_a_mean_over_the_survivors_of_divergence_is_not_the_best(suite):
    specs = plan_training(suite, DATA)
    results = train_results(specs, {"adam": [99.0, 99.0], "adam_cm": [90.0, 90.0, 90.0]})
    lost = next(spec for spec in specs if spec.optimizer.label == "adam" and spec.seed == 2)
    (table,) = build_tables([*results, result_of(lost, "diverged")], suites=[suite])
    assert not cell(table, "adam", "val_accuracy_best").best
    assert cell(table, "adam_cm", "val_accuracy_best").best


def test_expected_runs_replace_the_suites_plan(suite):
    specs = plan_training(suite, DATA, seeds=[0])[:2]
    (table,) = build_tables([trained(specs[0], 90.0)], suites=[suite], expected=specs)
    assert [(row.label, row.runs.text) for row in table.rows] == [("adam", "1/1"), ("adam_cm", "0/1 seeds, 1 missing")]


def test_other_settings_form_another_table_that_says_what_differs():
    usual, short = load_suite("digits"), load_suite("digits", sets=["epochs=3", "schedule.milestones=[2]"])
    results = train_results(plan_training(usual, DATA), {"adam": [90.0, 91.0, 92.0, 93.0, 94.0]})
    results += train_results(plan_training(short, DATA), {"adam": [80.0]})
    own, other = build_tables(results)
    assert (runs(own, "adam").text, runs(other, "adam").text) == ("5/5", "1/1")
    assert runs(own, "adam_cm").missing == usual.settings.seeds
    assert [row.label for row in other.rows] == ["adam"]
    assert other.caption[-1] == "not the suite's settings: epochs 3 (suite: 12), schedule.milestones [2] (suite: [8])"


def test_a_foreign_suite_with_a_built_in_name_is_not_taken_for_it(tmp_path):
    foreign = suite_file(tmp_path, TRAIN, name="digits")
    (table,) = build_tables(train_results(plan_training(foreign, DATA), {"adam": [90.0]}))
    assert [row.label for row in table.rows] == ["adam"]
    assert table.differs == {}


def test_variants_of_one_label_are_rows_titled_by_what_differs():
    results = train_results(plan_training(load_suite("digits"), DATA), {"adam": [90.0, 91.0, 92.0]})
    variant = load_suite("digits", opts=["adam"], sets=["lr=0.5"])
    results += train_results(plan_training(variant, DATA), {"adam": [50.0]})
    (table,) = build_tables(results)
    assert [row.title for row in table.rows][:2] == ["Adam lr=0.01", "Adam lr=0.5"]
    assert table.rows[1].runs.text == "1/1"


def test_the_papers_value_stands_beside_the_suites_own_setting_only(suite, tmp_path):
    changed = load_suite(str(tmp_path / "mine.yaml"), opts=["adam"], sets=["lr=0.1"])
    results = train_results(plan_training(suite, DATA), ACCURACIES)
    results += train_results(plan_training(changed, DATA), {"adam": [10.0]})
    (table,) = build_tables(results, suites=[suite])
    papers = [row.cells[0].paper and row.cells[0].paper.value for row in table.rows]
    assert papers == [93.9, None, 94.0, None]


def test_sharpness_of_a_training_run_is_a_column_of_its_table(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0, 91.0]})
    measured = [sharpness_of(results[0], 20.0), sharpness_of(results[1], 26.0)]
    (table,) = build_tables([*results, *measured], suites=[suite])
    found = cell(table, "adam", "top_eigenvalue")
    assert (found.value, found.n) == (23.0, 2)
    assert found.spread == pytest.approx(numpy.std([20.0, 26.0], ddof=1))


def test_sharpness_measured_in_two_ways_is_two_columns(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0]})
    measured = [sharpness_of(results[0], 20.0, tolerance=0.01), sharpness_of(results[0], 30.0, tolerance=0.5)]
    (table,) = build_tables([*results, *measured], suites=[suite])
    assert cell(table, "adam", "top_eigenvalue[tolerance=0.01]").value == 20.0
    assert cell(table, "adam", "top_eigenvalue[tolerance=0.5]").value == 30.0


def test_a_measurement_that_failed_is_counted_and_not_averaged(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0, 91.0]})
    failed = sharpness_of(results[1], 99.0).model_copy(update={"status": "failed"})
    (table,) = build_tables([*results, sharpness_of(results[0], 20.0), failed], suites=[suite])
    found = cell(table, "adam", "top_eigenvalue")
    assert (found.value, found.notes) == (20.0, ("n=1", "1 failed"))


def test_sharpness_without_its_training_runs_has_a_table_of_its_own(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0, 91.0]})
    (table,) = build_tables([sharpness_of(result, 7.0) for result in results])
    assert (table.kind, table.rows[0].cells[0].value, table.rows[0].runs.text) == ("sharpness", 7.0, "2/2")


def lanes(**values):
    return {"loss_best": [0.0] * 4, "path_length": [1.0] * 4} | values


def test_a_toy_table_averages_over_starts_and_stands_beside_the_paper(tmp_path):
    suite = suite_file(tmp_path, TOY)
    losses, sharp = [1.0, 2.0, 4.0, 9.0], [60.0, 61.0, 64.0, 69.0]
    reached = [True, False, False, True]
    results = [
        result_of(s, lanes=lanes(loss_final=losses, sharpness=sharp, reached_global=reached))
        for s in plan_landscapes(suite)
    ]
    price, levy = build_tables(results, suites=[suite])
    assert (price.title, levy.title) == ("mine: goldstein_price", "mine: levy")
    loss = cell(levy, "adam", "loss_final")
    assert (loss.value, loss.spread) == pytest.approx((numpy.mean(losses), numpy.std(losses, ddof=1)))
    assert (loss.n, loss.paper.value) == (4, 13.87)
    assert cell(levy, "adam_cm", "sharpness").paper.value == 62.53
    assert cell(levy, "adam", "reached_global").value == 0.5
    assert any("cannot be ends on the logarithmic form" in note for note in price.footnotes)
    assert not any("logarithmic form" in note for note in levy.footnotes)
    assert "distance_to_minimum" not in [column.key for column in levy.columns]


def test_a_start_that_diverged_is_counted_and_has_not_reached_the_minimum(tmp_path):
    suite = suite_file(tmp_path, TOY)
    spec = plan_landscapes(suite)[0]
    values = lanes(
        loss_final=[1.0, None, 3.0, 5.0],
        sharpness=[1.0, None, 1.0, 4.0],
        reached_global=[True, False, True, True],
        loss_best=[1.0, -50.0, 3.0, 5.0],
    )
    table = build_tables([result_of(spec, "diverged", diverged_step=40, lanes=values)], suites=[suite])[0]
    assert runs(table, "adam").text == "3/4 starts, 1 diverged @ step 40"
    assert cell(table, "adam", "loss_final").value == 3.0
    assert cell(table, "adam", "sharpness").value == 2.0
    assert cell(table, "adam", "loss_best").value == 3.0
    assert (cell(table, "adam", "reached_global").value, cell(table, "adam", "reached_global").n) == (0.75, 4)
    assert runs(table, "adam_cm").text == "0/4 starts, 4 missing"


def test_a_surface_without_results_is_shown_as_missing_beside_its_sister(tmp_path):
    suite = suite_file(tmp_path, TOY)
    price = [spec for spec in plan_landscapes(suite) if spec.settings.surface == "goldstein_price"]
    values = lanes(loss_final=[1.0] * 4, sharpness=[1.0] * 4)
    tables = build_tables([result_of(spec, lanes=values) for spec in price], suites=[suite])
    assert {row.runs.text for row in tables[1].rows} == {"0/4 starts, 4 missing"}


def test_other_start_points_are_another_table(tmp_path):
    suite = suite_file(tmp_path, TOY)
    other = load_suite(str(tmp_path / "mine.yaml"), sets=["seed=1"])
    specs = [plan_landscapes(suite)[0], plan_landscapes(other)[0]]
    values = lanes(loss_final=[1.0] * 4, sharpness=[1.0] * 4)
    tables = build_tables([result_of(spec, lanes=values) for spec in specs], suites=[suite])
    assert any(table.differs == {"seed": {"value": 1, "suite": 0}} for table in tables)


def test_escape_ratios_stand_under_each_coefficient_by_both_criteria_with_their_intervals(tmp_path):
    suite = suite_file(tmp_path, ESCAPE)
    specs = [spec for spec in plan_landscapes(suite) if (spec.optimizer.label, spec.settings.sharpness) != ("adam", 5)]
    escaped = {"adam": [True, False, False, False], "adam_cm": [True, True, True, False]}
    results = [
        result_of(spec, lanes={"escaped_all": escaped[spec.optimizer.label], "escaped_nearer": [True] * 4})
        for spec in specs
    ]
    (table,) = build_tables(results, suites=[suite])
    criteria = ("escape_ratio_all", "escape_ratio_nearer")
    assert [column.key for column in table.columns] == [f"{name} s={s}" for s in (2, 5) for name in criteria]
    one, three = (cell(table, label, "escape_ratio_all s=2") for label in ("adam", "adam_cm"))
    assert (one.value, three.value) == (0.25, 0.75)
    assert one.interval == pytest.approx(wilson(1, 4))
    assert three.best
    assert cell(table, "adam", "escape_ratio_all s=5").notes == ("missing",)
    assert cell(table, "adam", "escape_ratio_nearer s=2").value == 1.0
    assert cell(table, "adam", "escape_ratio_nearer s=2").interval == pytest.approx(wilson(4, 4))


def wilson(k, n, z=stats.norm.ppf(0.975)):
    """The ends of the interval are the ratios p at which the observed one is z standard errors of p away."""
    a, b, c = 1 + z**2 / n, -(2 * k / n + z**2 / n), (k / n) ** 2
    return tuple(sorted(numpy.roots([a, b, c]).real))


def test_starts_that_diverged_have_not_escaped_and_are_counted(tmp_path):
    suite = suite_file(tmp_path, ESCAPE)
    values = {"loss_final": [1.0, 1.0, None, 1.0], "escaped_all": [True, False, False, True]}
    spec = plan_landscapes(suite)[0]
    (table,) = build_tables([result_of(spec, "diverged", diverged_step=9, lanes=values)], suites=[suite])
    found = cell(table, "adam", "escape_ratio_all s=2")
    assert (found.value, found.n, found.notes) == (0.5, 4, ("1 diverged",))


def test_convergence_rates_stand_beside_the_known_optimum_in_the_row_of_their_condition_number(tmp_path):
    text = "kind: convergence\ndescription: rates\ncondition_numbers: [1, 100]\ncapacity: [0, 5]\nbeta: [null, 0.9]\n"
    suite = suite_file(tmp_path, text)
    specs = plan_convergence(suite)
    results = [
        result_of(
            spec,
            curves={"condition_number": [1, 100], "rate": [0.0, 0.9 + i / 100]},
            metrics={"simulation_error": i / 1000},
        )
        for i, spec in enumerate(specs)
    ]
    (table,) = build_tables(results[::-1])
    titles = ["C=0, β optimised", "C=0, β=0.9", "C=5, β optimised", "C=5, β=0.9", "heavy ball, known optimum"]
    assert [column.title for column in table.columns] == titles
    assert [row.title for row in table.rows] == ["κ=1", "κ=100"]
    assert [c.value for c in table.rows[1].cells] == pytest.approx([0.9, 0.91, 0.92, 0.93, 9 / 11])
    notes = " ".join(table.footnotes)
    assert "within 0.30% of ρ" in notes
    assert "C=5, β optimised is faster than classical momentum at 0 of 2 condition numbers" in notes
    assert "This comes out: ρ < 1 everywhere" in notes
