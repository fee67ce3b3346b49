"""The paper's tables as it prints them: one table over all suites of a place, and what is missing of it."""

from __future__ import annotations

import pytest

from cmbench import report
from cmbench.errors import UserError
from cmbench.experiments.plan import plan_landscapes, plan_training
from cmbench.experiments.suite import builtin_suites, load_suite, named, suites_of
from tests.report.results import DATA, result_of, trained


def cells(table):
    """By row title and column key."""
    return {
        (row.title, column.key): cell
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
    }


def perplexity(spec):
    return result_of(spec, metrics={"val_perplexity_best": 170.0 + spec.seed})


def test_table_2_is_one_table_over_four_suites():
    ptb, cifar = load_suite("ptb"), load_suite("cifar10")
    results = [perplexity(spec) for spec in plan_training(ptb, DATA)]
    results += [trained(spec, 90.0 + spec.seed) for spec in plan_training(cifar, DATA) if spec.label == "adam_cm"]
    place = report.place_tables("table", 2, results)
    (table,) = place.tables
    found = cells(table)
    assert [row.title for row in table.rows] == ["Adam", "Adam+CG", "Adam+SAM", "Adam+CM", "Adam+SAM+CM", "Adam+MEG"]
    assert [column.key for column in table.columns] == [
        "ptb.val_perplexity_best", "cifar10.val_accuracy_best", "cifar100.val_accuracy_best",
        "imagenet.val_accuracy_best"]  # fmt: skip
    assert found["Adam", "ptb.val_perplexity_best"].value == 172.0
    assert (found["Adam+CM", "cifar10.val_accuracy_best"].value, found["Adam+CM", "cifar10.val_accuracy_best"].n) == (
        92.0,
        5,
    )
    assert found["Adam", "cifar10.val_accuracy_best"].notes == ("missing",)
    assert found["Adam+MEG", "ptb.val_perplexity_best"].notes == ("not in the suite",)
    assert found["Adam", "imagenet.val_accuracy_best"].paper.value == 67.8
    assert [line.partition(":")[0] for line in place.missing] == ["cifar10", "cifar100", "imagenet"]
    assert "cmbench train --suite imagenet" in place.missing[-1]


def test_seeds_that_are_missing_are_counted_in_the_cell():
    results = [
        perplexity(spec) for spec in plan_training(load_suite("ptb"), DATA) if spec.seed < 3 or spec.label != "adam"
    ]
    place = report.place_tables("table", 2, results)
    assert cells(place.tables[0])["Adam", "ptb.val_perplexity_best"].notes == ("3/5 seeds, 2 missing",)
    assert place.missing[0].startswith("ptb: ")


def test_runs_with_other_settings_do_not_fill_a_table():
    results = [perplexity(spec) for spec in plan_training(load_suite("ptb", sets=["epochs=3"]), DATA)]
    place = report.place_tables("table", 2, results)
    assert cells(place.tables[0])["Adam", "ptb.val_perplexity_best"].value is None


def test_table_1_has_both_surfaces_side_by_side():
    def lanes(spec):
        return {"loss_final": [1.0, 3.0], "sharpness": [5.0, 5.0] if spec.settings.surface == "levy" else [7.0, 7.0]}

    results = [result_of(spec, lanes=lanes(spec)) for spec in plan_landscapes(load_suite("table1"))]
    place = report.place_tables("table", 1, results)
    found = cells(place.tables[0])
    assert (found["Adam+CM", "levy.sharpness"].value, found["Adam+CM", "goldstein_price.sharpness"].value) == (5.0, 7.0)
    assert found["Adam+CM", "levy.loss_final"].paper.value == 12.50
    assert place.missing == ()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 14])
def test_an_empty_folder_gives_every_cell_as_missing_with_its_metric(number):
    place = report.place_tables("table", number, [])
    (table,) = place.tables
    assert {note for row in table.rows for cell in row.cells for note in cell.notes} <= {"missing", "not in the suite"}
    assert any(cell.paper for row in table.rows for cell in row.cells)
    assert place.missing


def test_a_figure_is_the_tables_of_its_suites():
    results = [
        result_of(spec, lanes={f"escaped_{name}": [True, False] for name in ("all", "nearer", "reached")})
        for spec in plan_landscapes(load_suite("escape_1d"))
    ]
    place = report.place_tables("figure", 7, results)
    assert [table.suite for table in place.tables] == ["escape_1d"]
    assert len(place.missing) == 1
    assert "cmbench escape-ratio --suite figure7_right" in place.missing[0]


def test_a_figure_over_a_setting_is_one_table_with_a_row_for_each_of_its_values():
    results = [
        trained(spec, 80.0 + size / 64 + spec.seed)
        for size in (32, 64, 256)
        for spec in plan_training(load_suite(f"figure10_cifar10_b{size}"), DATA)
    ]
    results += [
        trained(spec, 70.0 + spec.optimizer.hyperparameters["capacity"])
        for spec in plan_training(load_suite("figure9_cifar100"), DATA)
    ]
    place = report.place_tables("figure", 10, results)
    batches, buffers = place.tables
    assert [row.title for row in batches.rows] == [f"batches of {size}" for size in (32, 64, 128, 256)]
    assert [row.title for row in buffers.rows] == [f"C = {size}" for size in (1, 5, 10, 20)]
    for table in place.tables:
        assert [column.key for column in table.columns] == ["cifar10.val_accuracy_best", "cifar100.val_accuracy_best"]
    found = cells(batches)
    assert found["batches of 64", "cifar10.val_accuracy_best"].value == 83.0
    assert found["batches of 256", "cifar10.val_accuracy_best"].best
    assert found["batches of 128", "cifar10.val_accuracy_best"].notes == ("missing",)
    assert found["batches of 64", "cifar100.val_accuracy_best"].notes == ("missing",)
    assert cells(buffers)["C = 20", "cifar100.val_accuracy_best"].value == 90.0
    assert len(place.missing) == 1 + 4 + 1
    assert [table.title for table in report.place_tables("figure", 9, []).tables] == ["Figure 9"]


@pytest.mark.parametrize(("kind", "number", "message"), [
    ("table", 15, "--table 15: accepted: 1 to 14"),
    ("figure", 21, "--figure 21: no suite is about it; accepted: 1, 2, 3"),
])  # fmt: skip
def test_a_place_that_the_paper_lacks_is_refused(kind, number, message):
    with pytest.raises(UserError, match=message):
        report.place_tables(kind, number, [])


def test_a_place_stands_for_all_of_its_suites():
    assert named("table2") == ["cifar10", "cifar100", "imagenet", "ptb"]
    assert named("figure7") == ["escape_1d", "figure7_right"]
    assert named("priorities", "train") == ["priorities_digits", "priorities_pydoc"]
    assert named("priorities", "toy") == ["priorities_levy"]
    assert len(named("priorities")) == 4
    assert named("digits") == ["digits"]
    assert named("digit") == ["digit"]
    assert named("figure7_right") == ["figure7_right"]
    assert named("digits") == ["digits"]
    assert "table14" in suites_of("figure20")
    assert {"figure9_cifar10", "figure10_cifar100_b32"} <= set(suites_of("figure10"))
    for number in range(1, 21):
        assert set(suites_of(f"figure{number}")) <= set(builtin_suites())
        assert suites_of(f"figure{number}"), number


def test_a_part_of_a_data_set_stands_in_a_table_of_the_paper_with_its_note_and_in_no_verdict():
    specs = plan_training(load_suite("imagenet"), DATA)
    subset = {"data_subset": {"train": [3200, 1_281_167]}}
    results = [trained(spec, 60.0 + spec.seed).model_copy(update={"environment": subset}) for spec in specs]
    (table,) = report.place_tables("table", 2, results).tables
    found = cells(table)["Adam", "imagenet.val_accuracy_best"]
    assert (found.value, found.paper) == (62.0, None)
    (note,) = [note for note in table.footnotes if note.startswith("not the published data")]
    assert "imagenet: trained on 3,200 of 1,281,167 images; no number" in note
    names = ("table2/imagenet/cm-best", "table2/imagenet/sam-cm-over-baselines")
    assert {v.verdict for v in report.judge(results) if v.claim.id in names} == {"not run"}
