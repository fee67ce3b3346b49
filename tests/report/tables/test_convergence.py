"""Convergence rates in the rows of their condition numbers."""

import pytest

from cmbench import report
from cmbench.experiments.plan import plan_convergence
from tests.report.results import result_of, suite_file


def test_convergence_rates_stand_beside_the_known_optimum_in_the_row_of_their_condition_number(tmp_path):
    text = "kind: convergence\ndescription: rates\ncondition_numbers: [1, 100]\ncapacity: [0, 5]\nbeta: [null, 0.9]\n"
    suite = suite_file(tmp_path, text)
    specs = plan_convergence(suite)
    results = [
        result_of(
            spec,
            curves={"condition_number": [1, 100], "rate": [0.0, 0.9 + i / 100]},
            metrics={"simulation_error": i / 1000, "grid_error": 1e-9 if i else 3e-8},
        )
        for i, spec in enumerate(specs)
    ]
    (table,) = report.tables(results[::-1])
    titles = ["C=0, β optimised", "C=0, β=0.9", "C=5, β optimised", "C=5, β=0.9", "heavy ball, known optimum"]
    assert [column.title for column in table.columns] == titles
    assert [row.title for row in table.rows] == ["κ=1", "κ=100"]
    assert [c.value for c in table.rows[1].cells] == pytest.approx([0.9, 0.91, 0.92, 0.93, 9 / 11])
    notes = " ".join(table.footnotes)
    assert "within 0.30% of ρ" in notes
    assert "the eigenvalues at 600 of them agree within 3e-08" in notes
    assert "C=5, β optimised is faster than classical momentum at 0 of 2 condition numbers" in notes
    assert "This comes out: ρ < 1 everywhere" in notes
