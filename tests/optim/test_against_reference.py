"""Every registered optimizer follows an independent float64 computation."""

import numpy as np
import pytest
import torch

from cmbench.optim import SGDCM, create_optimizer, get_info, list_optimizers

from .reference import Problem, run, run_by_torch

STEPS = 200
BUFFERED = [name for name in list_optimizers() if get_info(name).memory and not get_info(name).probe]
BY_HAND = [name for name in list_optimizers() if get_info(name).rule.key in ("adam", "sgd")]
"""Those whose equations stand in `reference.run`; torch's class serves the rules that are registered later too."""


def follow(name, problem, closure_for, steps=STEPS, **hyperparameters):
    params, closure_at = closure_for(problem)
    optimizer = create_optimizer(name, params, **hyperparameters)
    path = []
    for t in range(1, steps + 1):
        optimizer.step(closure_at(optimizer, t))
        path.append([p.detach().numpy().copy() for p in params])
    return path


def furthest(path, reference):
    return max(
        float(np.abs(a - b).max()) for x, y in zip(path, reference, strict=True) for a, b in zip(x, y, strict=True)
    )


def settings(name, **wanted):
    return {key: value for key, value in wanted.items() if key in get_info(name).defaults}


@pytest.mark.parametrize("name", BY_HAND)
def test_follows_the_equations_for_200_steps(name, problem, closure_for):
    chosen = settings(name, lr=1e-2, betas=(0.9, 0.99), momentum=0.9, weight_decay=0.01, capacity=5, decay=0.7)
    ours = follow(name, problem, closure_for, **chosen)
    assert furthest(ours, run(name, problem, STEPS, **chosen)) < 1e-10


@pytest.mark.parametrize("name", list_optimizers())
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_follows_torchs_class_of_its_rule(name, momentum, problem, closure_for):
    chosen = settings(
        name, lr=1e-2, betas=(momentum, 0.99), momentum=momentum, weight_decay=0.01, capacity=5, decay=0.7
    )
    ours = follow(name, problem, closure_for, **chosen)
    assert furthest(ours, run_by_torch(get_info(name), problem, STEPS, **chosen)) < 1e-9


@pytest.mark.parametrize("name", [name for name in BUFFERED if name.endswith("_cg")])
def test_critical_gradients_without_capacity_are_torchs_class(name, problem, closure_for):
    rule = get_info(name).rule.key
    chosen = settings(rule, lr=1e-2, momentum=0.9, weight_decay=0.1)
    ours = follow(name, problem, closure_for, capacity=0, **chosen)
    assert furthest(ours, follow(rule, problem, closure_for, **chosen)) < 1e-12


@pytest.mark.parametrize("name", ["adam_cg", "adam_cm", "sgd_cg", "sgd_cm", "adam_sam_cm"])
@pytest.mark.parametrize("capacity", [0, 1, 20])
@pytest.mark.parametrize("decay", [0.7, 0.99, 1.0])
def test_capacity_and_decay(name, capacity, decay, problem, closure_for):
    chosen = settings(name, lr=1e-2, momentum=0.8, capacity=capacity, decay=decay) | {"betas": (0.9, 0.999)}
    chosen = settings(name, **chosen)
    reference = run(name, problem, STEPS, **{"betas": (0.9, 0.999), **chosen})
    assert furthest(follow(name, problem, closure_for, **chosen), reference) < 1e-10


@pytest.mark.parametrize("name", ["adam_cg", "adam_cm", "sgd_cg", "sgd_cm"])
@pytest.mark.parametrize("priority", ["gradient", "momentum", "fifo", "random"])
@pytest.mark.parametrize("scope", ["global", "per_tensor"])
def test_priority_and_scope(name, priority, scope, problem, closure_for):
    chosen = settings(name, lr=1e-2, momentum=0.5, betas=(0.8, 0.9), priority=priority, capacity=4, decay=0.9)
    ours = follow(name, problem, closure_for, scope=scope, **chosen)
    assert furthest(ours, run(name, problem, STEPS, per_tensor=scope == "per_tensor", **chosen)) < 1e-10


def test_scope_changes_the_trajectory(problem, closure_for):
    ends = [
        follow("adam_cm", problem, closure_for, steps=50, scope=s, decay=0.99)[-1] for s in ("global", "per_tensor")
    ]
    assert furthest(ends[:1], ends[1:]) > 1e-6


def test_sam_scope_follows_the_tensors(problem, closure_for):
    ours = follow("adam_sam_cg", problem, closure_for, scope="per_tensor", lr=1e-2)
    reference = run("adam_sam_cg", problem, STEPS, per_tensor=True, lr=1e-2, betas=(0.9, 0.999))
    assert furthest(ours, reference) < 1e-10


@pytest.mark.parametrize("name", ["adam_cg", "adam_cm", "sgd_cg", "sgd_cm", "adam_sam_cm", "adam_meg_cg"])
@pytest.mark.parametrize("priority", ["gradient", "momentum", "fifo", "random"])
def test_each_lane_runs_as_if_it_were_alone(name, priority, closure_for):
    problems = [Problem(seed) for seed in range(4)]
    chosen = settings(name, lr=1e-2, momentum=0.7, capacity=3, decay=0.8)
    lanes = [
        torch.tensor(np.stack(arrays), requires_grad=True) for arrays in zip(*(p.start for p in problems), strict=True)
    ]
    x = torch.tensor(np.stack([p.x for p in problems]))
    optimizer = create_optimizer(name, lanes, scope="lane", priority=priority, **chosen)
    for t in range(1, STEPS + 1):
        y = torch.tensor(np.stack([p.target(t) for p in problems]))

        def closure(y=y):
            optimizer.zero_grad()
            w, b, u = lanes
            prediction = (torch.tanh(x @ w + b[:, None]) @ u[:, :, None])[..., 0]
            loss = ((prediction - y) ** 2).mean(1).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
    for lane, problem in enumerate(problems):
        alone = run(name, problem, STEPS, priority=priority, number=lane, **{"betas": (0.9, 0.999), **chosen})[-1]
        together = [tensor.detach()[lane].numpy() for tensor in lanes]
        assert furthest([together], [alone]) < 1e-10


@pytest.mark.parametrize("name", BUFFERED)
@pytest.mark.parametrize("foreach", [False, True])
def test_lanes_of_a_single_tensor(name, foreach):
    def run(points):
        x = points.clone().requires_grad_()
        optimizer = create_optimizer(name, [x], lr=1e-2, scope="lane", foreach=foreach)
        for _ in range(60):
            x.grad = 4 * x.detach() ** 3 - 3 * x.detach() + torch.sin(20 * x.detach())
            optimizer.step()
        return x.detach()

    start = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    together = run(start)
    for lane in range(7):
        torch.testing.assert_close(together[lane], run(start[lane : lane + 1])[0], rtol=1e-12, atol=1e-12)


def test_without_capacity_adam_cm_is_torch_adamw(problem, closure_for):
    ours = follow("adam_cm", problem, closure_for, capacity=0, lr=1e-2, weight_decay=0.1)
    assert furthest(ours, follow("adam", problem, closure_for, lr=1e-2, weight_decay=0.1)) < 1e-12


def test_without_capacity_sgd_cm_is_torch_sgd_at_the_scaled_learning_rate(problem, closure_for):
    ours = follow("sgd_cm", problem, closure_for, capacity=0, lr=1e-1, momentum=0.9)
    assert furthest(ours, follow("sgd", problem, closure_for, lr=1e-2, momentum=0.9)) < 1e-12


def test_the_first_step_moves_the_parameters():
    param = torch.ones(3, requires_grad=True)
    optimizer = SGDCM([param], lr=0.5, momentum=0.9)
    param.grad = torch.ones(3)
    optimizer.step()
    torch.testing.assert_close(param.detach(), torch.full((3,), 1 - 0.5 * 0.1))
