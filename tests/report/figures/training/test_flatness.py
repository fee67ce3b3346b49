"""Measures of flatness beside those of one optimizer."""

import math

import pytest

from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.report.figures.training.flatness import Flatness, flatness_figure
from cmbench.report.figures.training.rows import TrainingRuns
from cmbench.report.runs.every_group import every_group
from tests.report.results import DATA, sharpness_of, trained


def runs_of(suite, labels, seeds=3):
    """Completed runs, and what figures show of them."""
    found = [spec for spec in plan_training(load_suite(suite, sets=[f"seeds={seeds}"]), DATA) if spec.label in labels]
    results = [trained(spec, 90.0).model_copy(update={"curves": {"epoch": [1], "train_loss": [1.0]}}) for spec in found]
    return results, TrainingRuns.of(next(iter(every_group(results))))


def test_ratios_are_by_seed_and_to_the_first_optimizer():
    results, runs = runs_of("digits", ("adam", "adam_cm"))
    values = {("adam", 0): 1.0, ("adam", 1): 10.0, ("adam", 2): 100.0}
    values |= {("adam_cm", 0): 2.0, ("adam_cm", 1): 40.0, ("adam_cm", 2): -1.0}
    measured = [sharpness_of(result, values[result.label, result.seed]) for result in results]
    flatness = Flatness.of(runs, [*measured, *(sharpness_of(result, 0.5, metric="spectrum") for result in results)])
    assert flatness.reference == "Adam"
    ((name, (ratio,)),) = flatness.ratios.items()  # a share of negative eigenvalues is no measure of flatness
    assert (name, ratio.title) == ("sharpness\nλmax", "Adam+CM")
    assert ratio.logs == pytest.approx((math.log10(2), math.log10(4)))  # a negative value has no logarithm
    assert 10**ratio.found.effect == pytest.approx(math.sqrt(8))


def test_a_panel_per_suite_and_a_mark_per_measure():
    every = []
    for suite in ("digits", "pydoc"):
        results, runs = runs_of(suite, ("adam", "adam_cg", "adam_cm"))
        measured = [sharpness_of(each, 2.0 + each.seed, at=at) for each in results for at in ("last", "best")]
        every.append(Flatness.of(runs, measured))
    figure = flatness_figure(every)
    assert [axes.get_title() for axes in figure.axes] == ["digits", "pydoc"]
    for axes in figure.axes:
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["sharpness\nλmax", "sharpness\nλmax\n(at=best)"]
        assert axes.get_yscale() == "log"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Adam+CG", "Adam+CM"]


def test_without_measurements_there_is_none():
    results, runs = runs_of("digits", ("adam", "adam_cm"))
    assert Flatness.of(runs, []) is None
    assert Flatness.of(runs, [sharpness_of(each, 1.0) for each in results if each.label == "adam"]) is None
