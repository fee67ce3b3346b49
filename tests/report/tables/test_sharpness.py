"""Measurements whose training runs are not among the results."""

import pytest

from cmbench import report
from cmbench.experiments.plan import plan_training
from tests.report.results import DATA, TRAIN, sharpness_of, suite_file, train_results


@pytest.fixture
def suite(tmp_path):
    return suite_file(tmp_path, TRAIN)


def test_sharpness_without_its_training_runs_has_a_table_of_its_own(suite):
    results = train_results(plan_training(suite, DATA), {"adam": [90.0, 91.0]})
    (table,) = report.tables([sharpness_of(result, 7.0) for result in results])
    assert (table.kind, table.rows[0].cells[0].value, table.rows[0].runs.text) == ("sharpness", 7.0, "2/2")
