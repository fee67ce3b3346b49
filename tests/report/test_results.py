"""What a notebook gets of stored results: records, a table for pandas, and what is missing."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest

from cmbench import report
from cmbench.errors import UserError
from cmbench.experiments.plan import plan_convergence, plan_landscapes, plan_training
from cmbench.experiments.suite import load_suite
from tests.report.results import DATA, TRAIN, lanes, result_of, save, suite_file, train_results

ACCURACIES = {"adam": [90.0, 91.0, 95.0], "adam_cm": [92.0, 92.5]}


@pytest.fixture
def folder(tmp_path):
    """Results of a training suite of the user's, of toy runs and of convergence rates."""
    suite = suite_file(tmp_path, TRAIN)
    specs = plan_training(suite, DATA)
    lost = next(spec for spec in specs if (spec.optimizer.label, spec.seed) == ("adam_cm", 2))
    results = [*train_results(specs, ACCURACIES), result_of(lost, "diverged", diverged_step=7)]
    save(tmp_path / "out", specs, results)
    toy = plan_landscapes(load_suite("levy"))
    save(tmp_path / "out", toy, [result_of(s, lanes=lanes(), metrics={"sharpness": 65.0}) for s in toy])
    return tmp_path


def test_results_are_a_sequence_of_records(folder):
    results = report.load_results(folder / "out", ["mine"])
    assert len(results) == 6
    assert {result.suite.name for result in results} == {"mine"}
    assert results[0] in results
    assert results[-2:] == tuple(results)[4:]
    assert results.missing == ()
    assert len(report.load_results(str(folder / "out"))) > 6


def test_a_suite_given_by_file_orders_the_rows_of_its_table(folder):
    path = str(folder / "mine.yaml")
    (by_name,) = report.tables(report.load_results(folder / "out", "mine"))
    (by_file,) = report.tables(report.load_results(folder / "out", path))
    assert [row.label for row in by_name.rows] == ["adam", "adam_cm"]
    assert [row.label for row in by_file.rows] == ["adam", "adam_cm", "adam_cm C=20"]


def test_what_is_missing_is_said_with_the_command_that_produces_it(folder):
    results = report.load_results(folder / "out", ["mine", "digits", "digits_grid", "mien"])
    assert len(results) == 6
    digits, grid, unknown = results.missing
    assert f"cmbench train --suite digits --out {folder / 'out'}" in digits
    assert "cmbench train --suite digits --grid" in grid
    assert "did you mean 'mine'?" in unknown
    assert report.load_results(folder / "nowhere").missing[0].startswith(f"{folder / 'nowhere'}: no results")


def test_the_table_for_pandas_has_a_row_per_run_and_a_column_per_quantity(folder):
    pytest.importorskip("pandas")
    frame = report.load_results(folder / "out", ["mine", "levy"]).to_frame()
    assert list(frame.columns[:7]) == ["suite", "kind", "label", "optimizer", "seed", "status", "id"]
    mine = frame[frame.suite == "mine"]
    assert len(mine) == 6
    assert sorted(mine.status) == ["completed"] * 5 + ["diverged"]
    means = mine.groupby("label")["metrics.val_accuracy_best"].mean()  # without the diverged run's, which is no number
    assert means["adam_cm"] == pytest.approx(numpy.mean(ACCURACIES["adam_cm"]))
    assert set(mine["settings.epochs"]) == {4}
    assert set(mine["hyperparameters.lr"]) == {1e-3, 1e-4}
    assert set(mine["cost.wall_seconds"].dropna()) == {1.0}


def test_settings_metrics_and_hyperparameters_of_one_name_are_different_columns(tmp_path):
    pytest.importorskip("pandas")
    escape = plan_landscapes(load_suite("escape_10d", sets=["sharpness=[2]"]))
    rates = plan_convergence(load_suite("convergence"))
    records = [*(result_of(s, metrics={"sharpness": 65.0}) for s in escape), *map(result_of, rates)]
    frame = report.Results(tuple(records)).to_frame()
    assert set(frame["settings.sharpness"].dropna()) == {2.0}
    assert set(frame["metrics.sharpness"].dropna()) == {65.0}
    assert set(frame["settings.capacity"].dropna()) == {spec.settings.capacity for spec in rates}
    assert set(frame["hyperparameters.capacity"].dropna()) <= {5, 20}
    assert frame.label.isna().sum() == len(rates)


def test_no_results_are_an_empty_table_for_pandas():
    pytest.importorskip("pandas")
    assert report.Results(()).to_frame().empty


def test_without_pandas_the_table_for_pandas_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        report.Results(()).to_frame()


def test_the_package_offers_its_report_without_loading_it(tmp_path):
    code = (
        "import sys, cmbench\n"
        "assert 'cmbench.report' not in sys.modules and 'pydantic' not in sys.modules\n"
        "from cmbench import load_results, report\n"
        "assert load_results is report.load_results\n"
        "assert report.render(report.tables(load_results('nowhere')), 'csv').startswith('suite,kind')\n"
        "assert {'load_results', 'report'} <= set(dir(cmbench))\n"
        "assert not {'torch', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "try: cmbench.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
