"""The settings that the paper prints, and the suites that are to have them."""

from __future__ import annotations

import pytest

from cmbench import report
from cmbench.experiments.suite import load_suite
from cmbench.report.paper.settings import BEST, GRIDS, SIZES
from cmbench.workloads.registry import WORKLOADS, get_workload

CASES = [(number, suite, name) for number in BEST for suite in BEST[number] for name in BEST[number][suite]]


@pytest.mark.parametrize(("number", "suite", "name"), CASES)
def test_suites_have_the_best_settings_that_are_printed(number, suite, name):
    optimizer = next((o for o in load_suite(suite).optimizers if o.name == name), None)
    if optimizer is None:
        assert (suite, name) == ("figure14", "adam_sam_cm")  # its figure does not show it
        return
    printed = BEST[number][suite][name]
    assert {key: optimizer.hyperparameters[key] for key in printed} == printed


@pytest.mark.parametrize(("number", "suite"), [
    *((8, suite) for suite in ("ptb", "cifar10", "cifar100", "imagenet")),
    *((12, suite) for suite in ("tinyimagenet_online", "five_datasets_online")),
])  # fmt: skip
def test_suites_search_what_is_printed(number, suite):
    grid, printed = load_suite(suite).settings.grid, dict(GRIDS[number])
    first, second = printed.pop("beta1"), printed.pop("beta2")
    pairs = {(b1, b2) for b1 in first for b2 in second}
    assert {tuple(pair) for pair in grid["betas"]} == pairs
    assert {key: set(values) for key, values in grid.items() if key != "betas"} == {
        k: set(v) for k, v in printed.items()
    }


def test_cards_say_how_many_examples_there_are_as_their_words_do():
    for name in WORKLOADS:
        card = get_workload(name).card
        if card.examples:
            assert all(f"{count:,}" in card.data for count in card.examples), name
    for name, (train, validation) in SIZES.items():
        ours = get_workload(name).card.examples
        assert ours == pytest.approx((train, validation), rel=0.06)  # of PTB the paper counts words, without <eos>


@pytest.mark.parametrize("number", range(6, 14))
def test_every_table_of_settings_is_there(number):
    (table,) = report.place_tables("table", number, []).tables
    assert table.title == f"Table {number}"
    texts = [note for row in table.rows for cell in row.cells for note in cell.notes]
    assert texts
    assert "—" not in texts
    assert [text for text in texts if "paper" in text] == (
        ["not in the suite (paper: {0.1, 0.9, 0.999, 20, 0.99, 0.05})"] if number == 11 else []
    )
