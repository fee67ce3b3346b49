"""Where epochs lie on the axes, by the costs of runs whose steps are counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cmbench.experiments.plan import plan_training
from cmbench.experiments.result import Cost
from cmbench.experiments.suite import load_suite
from cmbench.report.figures.training.axis import AXES, end_of, positions, steps_per_epoch
from tests.report.results import DATA, result_of

ADAM, SAM = (plan_training(load_suite("digits", opts=[name]), DATA)[0] for name in ("adam", "adam_sam"))


def run(spec, epochs, steps, status="completed", probe=1, wall=10.0, evaluation=4.0, **fields):
    cost = Cost(
        wall_seconds=wall, evaluation_seconds=evaluation, steps=steps, gradient_evaluations=probe * steps
    )  # fmt: skip
    return result_of(spec, status, curves={"epoch": list(range(1, epochs + 1))}, cost=cost, **fields)


@pytest.mark.parametrize(("axis", "expected"), [
    ("epochs", [1, 2, 3]),
    ("steps", [20, 40, 60]),
    ("gradients", [40, 80, 120]),  # a probe costs two
    ("seconds", [2, 4, 6]),  # 6 of the 10 seconds are no evaluation
])  # fmt: skip
def test_positions_follow_from_costs(axis, expected):
    result = run(SAM, 3, 60, probe=2)
    assert positions(result, axis, steps_per_epoch([result])) == pytest.approx(expected)


def test_the_steps_of_an_epoch_come_from_completed_runs_where_there_are_any():
    completed, diverged = run(ADAM, 3, 60), run(ADAM, 1, 33, "diverged", diverged_step=33)
    assert steps_per_epoch([diverged, completed]) == 20
    assert steps_per_epoch([diverged]) == pytest.approx(33 / 2)  # it ended in its second epoch
    assert steps_per_epoch([result_of(ADAM)]) is None


def test_a_run_diverges_at_its_step_on_every_axis():
    diverged = run(SAM, 1, 30, "diverged", probe=2, diverged_step=30)
    ends = {axis: end_of(diverged, axis, 20.0) for axis in AXES}
    assert ends == pytest.approx({"epochs": 1.5, "steps": 30, "gradients": 60, "seconds": 6})
    assert [end_of(run(ADAM, 3, 60), axis, 20.0) for axis in AXES] == [None] * 4


def test_without_a_cost_only_epochs_are_known():
    result = result_of(ADAM, curves={"epoch": [1, 2]})
    assert positions(result, "epochs", None).tolist() == [1, 2]
    for axis in ("steps", "gradients", "seconds"):
        assert np.isnan(positions(result, axis, None)).all()
