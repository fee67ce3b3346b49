"""The lane runner: a lane does what it would do alone, whatever happens in the lanes beside it."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmbench.experiments.schedule import Schedule
from cmbench.landscapes.functions import ackley, levy, sharp_flat
from cmbench.landscapes.lanes import run_lanes, start_points
from cmbench.optim import create_optimizer, get_info

ADAM = {"lr": 0.1, "betas": (0.9, 0.99)}
MEMORY = {"capacity": 4, "decay": 0.9}
CASES = {
    "adam": ADAM,
    "sgd": {"lr": 0.01},
    "adam_sam": ADAM | {"rho": 0.05},
    "adam_meg": ADAM,
    "adam_cg": ADAM | MEMORY,
    "adam_cm": ADAM | MEMORY,
    "adam_sam_cm": ADAM | MEMORY | {"rho": 0.05},
    "adam_meg_cg": ADAM | MEMORY,
    "sgd_cm": {"lr": 0.01} | MEMORY,
}


def alone(function, start, name, hyperparameters, steps, schedule=None):
    """The positions of one run whose parameter is a plain vector, under the scope that deep networks use."""
    x = start.clone().requires_grad_()
    optimizer = create_optimizer(name, [x], **hyperparameters)
    path = [start]

    def closure():
        optimizer.zero_grad()
        loss = function(x)
        loss.backward()
        return loss

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = hyperparameters["lr"] * (schedule.factor(step, steps) if schedule else 1)
        optimizer.step(closure)
        path.append(x.detach().clone())
    return torch.stack(path)


@pytest.mark.parametrize("name", CASES)
def test_a_lane_is_identical_to_a_run_of_its_own(name):
    starts = start_points(4, 37, 3, (-5, 5))
    together = run_lanes(ackley, starts, name, CASES[name], 60, records=60)
    for lane in (0, 17, 36):
        expected = alone(ackley, starts[lane], name, CASES[name], 60)
        torch.testing.assert_close(together.positions[:, lane], expected, rtol=1e-9, atol=1e-9)
        single = run_lanes(ackley, starts[lane : lane + 1], name, CASES[name], 60, records=60)
        assert torch.equal(together.positions[:, lane], single.positions[:, 0])


@pytest.mark.parametrize("name", CASES)
def test_a_lane_that_is_lost_does_not_disturb_the_others(name):
    starts = start_points(0, 6, 2, (-5, 5))
    poisoned = torch.cat([starts[:2], torch.full((1, 2), torch.nan, dtype=torch.float64), starts[2:]])
    clean = run_lanes(levy, starts, name, CASES[name], 40)
    beside = run_lanes(levy, poisoned, name, CASES[name], 40)
    others = [0, 1, 3, 4, 5, 6]
    assert torch.equal(beside.position[others], clean.position)
    assert torch.equal(beside.loss_best[others], clean.loss_best)
    assert beside.diverged_step.tolist() == [-1, -1, 0, -1, -1, -1, -1]
    assert torch.isnan(beside.path_length[2])


def test_divergence_is_dated_to_the_step_after_which_it_shows():
    def cliff(x):  # one lane walks off the edge of a logarithm, 0.5 per step
        return torch.log(x[..., 0])

    starts = torch.tensor([[1e9], [4.9]], dtype=torch.float64)
    lanes = run_lanes(cliff, starts, "sgd", {"lr": 2.45}, 10)
    position, step = 4.9, 0
    while position > 0:
        position -= 2.45 / position
        step += 1
    assert lanes.diverged_step.tolist() == [-1, step]


def test_path_length_best_loss_and_records_are_those_of_the_whole_path():
    starts = start_points(1, 3, 2, (-4, 4))
    steps = 300  # more than one chunk of the bookkeeping
    schedule = Schedule(name="step", milestones=(100, 250), gamma=0.1)
    lanes = run_lanes(ackley, starts, "adam_cm", CASES["adam_cm"], steps, schedule, records=25)
    for lane in range(3):
        path = alone(ackley, starts[lane], "adam_cm", CASES["adam_cm"], steps, schedule)
        torch.testing.assert_close(lanes.path_length[lane], path.diff(dim=0).norm(dim=-1).sum(), rtol=1e-8, atol=0)
        torch.testing.assert_close(lanes.loss_best[lane], ackley(path).min(), rtol=1e-7, atol=1e-12)
        torch.testing.assert_close(lanes.positions[:, lane], path[lanes.steps], rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(lanes.losses[:, lane], ackley(path[lanes.steps]), rtol=1e-8, atol=1e-8)
    assert lanes.steps.tolist() == list(range(0, 301, 12))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(1, 60))
def test_records_are_few_and_hold_the_first_and_the_last_step(steps, records):
    lanes = run_lanes(levy, start_points(0, 1, 1, (-1, 1)), "sgd", {"lr": 1e-3}, steps, records=records)
    assert lanes.steps[0] == 0
    assert lanes.steps[-1] == steps
    assert len(lanes.steps) == len(lanes.losses) == len(lanes.positions) <= min(steps, records) + 1
    assert torch.equal(lanes.positions[-1], lanes.position)


def test_lanes_of_different_sharpness_share_a_tensor():
    starts = start_points(2, 5, 2, (-5, 5))
    coefficients = torch.tensor([2.0, 50.0], dtype=torch.float64)
    both = partial(sharp_flat, sharpness=coefficients.repeat_interleave(5))
    together = run_lanes(both, starts.repeat(2, 1), "adam_cg", CASES["adam_cg"], 50)
    for i, s in enumerate(coefficients):
        own = run_lanes(partial(sharp_flat, sharpness=s), starts, "adam_cg", CASES["adam_cg"], 50)
        assert torch.equal(together.position[5 * i : 5 * i + 5], own.position)


def test_start_points_depend_on_the_seed_and_fill_the_domain():
    points = start_points(7, 4000, 2, (-3, 5))
    assert torch.equal(points, start_points(7, 4000, 2, (-3, 5)))
    assert not torch.equal(points, start_points(8, 4000, 2, (-3, 5)))
    assert points.min() >= -3
    assert points.max() <= 5
    # Uniform: mean 1 and deviation 8/√12, both within five standard errors.
    assert abs(points.mean() - 1) < 5 * 8 / 12**0.5 / 8000**0.5
    assert abs(points.std() - 8 / 12**0.5) < 0.1


@pytest.mark.parametrize("name", ["adam", "adam_cm", "sgd_cg"])
def test_state_bytes_count_every_tensor_of_the_optimizer(name):
    lanes = run_lanes(levy, start_points(0, 10, 2, (-5, 5)), name, CASES.get(name, {"lr": 0.01} | MEMORY), 3)
    per_number = {"adam": 2, "adam_cm": 3 + 4, "sgd_cg": 1 + 4}[name]  # moments; sum and slots with them
    ranking = (2 * 4 + 1) * 10 * 8 if get_info(name).memory else 0
    assert 0 <= lanes.state_bytes - per_number * 20 * 8 - ranking <= 8  # the step counter, where there is one


def test_a_schedule_free_lane_ends_where_its_loss_was_taken():
    pytest.importorskip("pytorch_optimizer")
    starts = start_points(0, 7, 3, (-2, 2))
    lanes = run_lanes(levy, starts, "pytorch_optimizer:ScheduleFreeAdamW", {"lr": 0.1}, 30)
    torch.testing.assert_close(levy(lanes.position), lanes.loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(lanes.positions[-1], lanes.position)
