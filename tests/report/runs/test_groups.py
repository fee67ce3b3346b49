"""Which runs form a table and a row of it, in which order, and what sets tables apart."""

import pytest

from cmbench import report
from cmbench.experiments.plan import plan_landscapes, plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report.runs.plan import plan_of
from cmbench.report.table import Difference
from tests.report.results import DATA, TOY, TRAIN, lanes, result_of, runs_of, suite_file, train_results

ACCURACIES = {"adam": [90.0, 91.0, 95.0], "adam_cm": [92.0, 92.5, 96.0], "adam_cm C=20": [91.0, 91.0, 94.0]}


@pytest.fixture
def suite(tmp_path):
    return suite_file(tmp_path, TRAIN)


def test_rows_follow_the_suite_under_the_papers_titles(suite):
    (table,) = report.tables(train_results(plan_training(suite, DATA), ACCURACIES)[::-1], suites=[suite])
    assert [row.title for row in table.rows] == ["Adam", "Adam+CM", "Adam+CM C=20"]
    assert table.differs == ()


def test_other_settings_form_another_table_that_says_what_differs():
    usual, short = load_suite("digits"), load_suite("digits", sets=["epochs=3", "schedule.milestones=[2]"])
    results = train_results(plan_training(usual, DATA), {"adam": [90.0, 91.0, 92.0, 93.0, 94.0]})
    results += train_results(plan_training(short, DATA), {"adam": [80.0]})
    own, other = report.tables(results)
    assert (runs_of(own, "adam").text, runs_of(other, "adam").text) == ("5/5", "1/1")
    assert runs_of(own, "adam_cm").missing == usual.settings.seeds
    assert [row.label for row in other.rows] == ["adam"]
    assert other.caption[-1] == "not the suite's settings: epochs 3 (suite: 12), schedule.milestones [2] (suite: [8])"


def test_a_setting_taken_back_to_its_default_is_said_too():
    """Such a setting, and an option of a workload, stands in no result."""
    changed = [
        ("ptb", "clip_norm=null", "clip_norm none (suite: 0.25)"),
        ("imagenet", "workload.resize=256", "workload.resize 256 (suite: 224)"),
        ("cifar10", "clip_norm=10", "clip_norm 10 (suite: none)"),
        ("five_datasets_online", "workload.size=32", "workload.size 32 (suite: 224)"),
    ]
    for name, sets, said in changed:
        specs = plan_of(load_suite(name, sets=[sets, "seeds=1"]), [])
        tables = report.tables([result_of(spec, metrics={"val_accuracy_best": 90.0}) for spec in specs])
        assert tables[0].caption[-1] == f"not the suite's settings: {said}"
        (own,) = report.tables([result_of(s, metrics={}) for s in plan_of(load_suite(name), [])])
        assert own.differs == ()


def test_options_of_a_workload_are_named_in_the_caption():
    (table,) = report.tables([result_of(spec, metrics={}) for spec in plan_of(load_suite("imagenet"), [])])
    assert table.caption[1].startswith("workload imagenet (resize 224), 90 epochs, batch size 256")


def test_a_foreign_suite_with_a_built_in_name_is_not_taken_for_it(tmp_path):
    foreign = suite_file(tmp_path, TRAIN, name="digits")
    (table,) = report.tables(train_results(plan_training(foreign, DATA), {"adam": [90.0]}))
    assert [row.label for row in table.rows] == ["adam"]
    assert table.differs == ()


def test_variants_of_one_label_are_rows_titled_by_what_differs():
    results = train_results(plan_training(load_suite("digits"), DATA), {"adam": [90.0, 91.0, 92.0]})
    variant = load_suite("digits", opts=["adam"], sets=["lr=0.5"])
    results += train_results(plan_training(variant, DATA), {"adam": [50.0]})
    (table,) = report.tables(results)
    assert [row.title for row in table.rows][:2] == ["Adam lr=0.01", "Adam lr=0.5"]
    assert table.rows[1].runs.text == "1/1"


def test_a_surface_without_results_is_shown_as_missing_beside_its_sister(tmp_path):
    suite = suite_file(tmp_path, TOY)
    price = [spec for spec in plan_landscapes(suite) if spec.settings.surface == "goldstein_price"]
    values = lanes(loss_final=[1.0] * 4, sharpness=[1.0] * 4)
    tables = report.tables([result_of(spec, lanes=values) for spec in price], suites=[suite])
    assert {row.runs.text for row in tables[1].rows} == {"0/4 starts, 4 missing"}


def test_other_start_points_are_another_table(tmp_path):
    suite = suite_file(tmp_path, TOY)
    other = load_suite(str(tmp_path / "mine.yaml"), sets=["seed=1"])
    specs = [plan_landscapes(suite)[0], plan_landscapes(other)[0]]
    values = lanes(loss_final=[1.0] * 4, sharpness=[1.0] * 4)
    tables = report.tables([result_of(spec, lanes=values) for spec in specs], suites=[suite])
    assert any(table.differs == (Difference("seed", 1, from_suite=True, suite=0),) for table in tables)
