"""The paper's number stands beside the setting that it was obtained with, and beside no other."""

import pytest

from cmbench import report
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from tests.report.results import DATA, TRAIN, suite_file, train_results

ACCURACIES = {"adam": [90.0, 91.0, 95.0], "adam_cm": [92.0, 92.5, 96.0], "adam_cm C=20": [91.0, 91.0, 94.0]}


@pytest.fixture
def suite(tmp_path):
    return suite_file(tmp_path, TRAIN)


def test_the_papers_value_stands_beside_the_suites_own_setting_only(suite, tmp_path):
    changed = load_suite(str(tmp_path / "mine.yaml"), opts=["adam"], sets=["lr=0.1"])
    results = train_results(plan_training(suite, DATA), ACCURACIES)
    results += train_results(plan_training(changed, DATA), {"adam": [10.0]})
    (table,) = report.tables(results, suites=[suite])
    papers = [row.cells[0].paper and row.cells[0].paper.value for row in table.rows]
    assert papers == [93.9, None, 94.0, None]
