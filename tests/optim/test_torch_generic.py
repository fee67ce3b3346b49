"""What torch asks of its own optimizers in its generic tests is asked of every registered one."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.optim import lr_scheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from cmbench.optim import create_optimizer, get_info, list_optimizers

ROOT = Path(__file__).parents[2]
REGISTERED = list_optimizers()
MEMORY = [name for name in REGISTERED if get_info(name).memory]
WAYS = [{"foreach": False}, {"foreach": True}, {"fused": True}]


def parameters(dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in ((4, 3), (5,), ())]


def step(optimizer, params, times=1):
    def closure():
        for k, param in enumerate(params):
            param.grad = torch.sin(3 * param.detach() + k)
        return torch.zeros(())

    for _ in range(times):
        optimizer.step(closure)


def equal(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_settings_give_one_result_in_every_implementation_and_wrong_ones_are_refused():
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "tests.optim.torch_generic"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


SCHEDULES = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.5, 3),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=4),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 6),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 6),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 1e-3, 1e-2, 2, cycle_momentum=True),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 1e-2, total_steps=10, cycle_momentum=True),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.5, 2), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 5)], [3]
    ),
}


def settings_of(optimizer):
    group = optimizer.param_groups[0]
    return float(group["lr"]), group.get("momentum", group.get("betas", (None,))[0])


@pytest.mark.parametrize("as_tensor", [False, True], ids=["number", "tensor"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", MEMORY)
def test_a_schedule_does_to_it_what_it_does_to_torchs_class(name, schedule, as_tensor):
    info, params, others = get_info(name), parameters(), parameters()
    lr = torch.tensor(1e-2) if as_tensor else 1e-2
    optimizer = create_optimizer(name, params, lr=lr)
    beta = {"momentum": info.defaults["momentum"]} if "momentum" in info.hyperparameters else {}
    own_lr = lr.clone() if as_tensor else lr
    reference = getattr(torch.optim, info.rule.torch_class)(others, lr=own_lr, foreach=False, **beta)
    schedules = [SCHEDULES[schedule](each) for each in (optimizer, reference)]
    for _ in range(8):
        for each, own, plan in ((optimizer, params, schedules[0]), (reference, others, schedules[1])):
            step(each, own)
            plan.step(1.0) if schedule == "ReduceLROnPlateau" else plan.step()
        assert settings_of(optimizer) == pytest.approx(settings_of(reference))
    assert all(param.isfinite().all() for param in params)
    assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor) == as_tensor


@pytest.mark.parametrize("name", REGISTERED)
def test_hooks_of_all_optimizers_and_of_one_run_around_each_other(name):
    params, heard = parameters(), []
    optimizer = create_optimizer(name, params)

    def hear(word):
        return lambda which, *_: heard.append(word) if which is optimizer else None

    handles = [
        register_optimizer_step_pre_hook(hear("all before")),
        register_optimizer_step_post_hook(hear("all after")),
        optimizer.register_step_pre_hook(hear("before")),
        optimizer.register_step_post_hook(hear("after")),
    ]
    try:
        step(optimizer, params)
    finally:
        for handle in handles:
            handle.remove()
    assert heard == ["all before", "before", "after", "all after"]
    step(optimizer, params)
    assert len(heard) == 4


@pytest.mark.parametrize("name", REGISTERED)
def test_a_step_can_follow_another_optimizers_as_its_hook(name):
    params, others = parameters(), parameters()
    leader, follower = torch.optim.SGD(params, lr=1e-2), create_optimizer(name, others)
    leader.register_step_post_hook(lambda *_: step(follower, others))
    step(leader, params, 3)
    alone = parameters()
    step(create_optimizer(name, alone), alone, 3)
    assert equal(others, alone)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", MEMORY)
def test_a_step_leaves_gradients_and_graphs_alone(name, way):
    params = parameters()
    optimizer = create_optimizer(name, params, weight_decay=0.1, maximize=True, **way)
    grads = [torch.full_like(p, 0.5) for p in params]

    def closure():
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        return torch.zeros(())

    versions = [param._version for param in params]
    for _ in range(3):
        optimizer.step(closure)
    assert all(torch.equal(grad, torch.full_like(grad, 0.5)) for grad in grads)
    assert all(p.is_leaf and p.requires_grad and p.grad is g for p, g in zip(params, grads, strict=True))
    assert all(param._version > before for param, before in zip(params, versions, strict=True))
    assert not any(t.requires_grad for state in optimizer.state.values() for t in state.values())


@pytest.mark.parametrize("name", REGISTERED)
def test_without_gradients_nothing_happens_and_nothing_is_kept(name):
    params = parameters()
    optimizer = create_optimizer(name, params)
    for _ in range(3):
        optimizer.step(lambda: torch.zeros(()))
    assert equal(params, parameters())
    assert not any(optimizer.state.values())
    step(optimizer, params)
    assert all(any(isinstance(t, torch.Tensor) for t in optimizer.state[p].values()) for p in params if optimizer.state)
    optimizer.zero_grad()
    assert all(param.grad is None for param in params)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", MEMORY)
def test_parameters_of_several_types_are_updated_as_each_would_be(name, way):
    kinds = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    results = []
    for own in ({"foreach": False}, way):
        params = [param.detach().to(kind).requires_grad_() for kind in kinds for param in parameters()]
        step(create_optimizer(name, params, lr=1e-2, **own), params, 5)
        results.append(params)
    for a, b in zip(*results, strict=True):
        # One norm over all: what half precision rounds reaches the others.
        tolerance = {torch.float64: 1e-9, torch.float32: 1e-5}.get(a.dtype, 60 * torch.finfo(a.dtype).eps)
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", MEMORY)
@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_torchs_default_type_is_no_matter(name, way, default):
    expected, got = parameters(), parameters()
    step(create_optimizer(name, expected, **way), expected, 4)
    torch.set_default_dtype(default)
    try:
        optimizer = create_optimizer(name, got, **way)
        for _ in range(4):
            step(optimizer, got)
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    finally:
        torch.set_default_dtype(torch.float32)
    assert equal(expected, got)


@pytest.mark.parametrize("name", REGISTERED)
def test_names_of_parameters_are_kept(name):
    model = torch.nn.Linear(3, 2)
    optimizer = create_optimizer(name, model.named_parameters())
    step(optimizer, list(model.parameters()))
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["param_names"] == ["weight", "bias"]
    other = create_optimizer(name, torch.nn.Linear(3, 2).named_parameters())
    del saved["param_groups"][0]["param_names"]
    other.load_state_dict(saved)
    assert other.param_groups[0]["param_names"] == ["weight", "bias"]


@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copy_has_the_same_state_before_and_after_the_first_step(name, duplicate):
    params = parameters()
    optimizer = create_optimizer(name, params)
    twins, twin = duplicate((params, optimizer))
    for _ in range(2):
        step(twin, twins, 3)
        step(optimizer, params, 3)
        assert equal(params, twins)
        twins, twin = duplicate((params, optimizer))
        assert repr(twin) == repr(optimizer)
        saved, own = twin.state_dict()["state"], optimizer.state_dict()["state"]
        assert saved.keys() == own.keys()
        assert all(equal(saved[k].values(), own[k].values()) for k in own)


@pytest.mark.parametrize("name", MEMORY)
def test_a_group_whose_parameters_are_there_already_is_refused(name):
    params = parameters()
    optimizer = create_optimizer(name, params)
    for wrong, message in (
        ({"params": params[:1]}, "more than one parameter group"),
        ({"params": [torch.ones(2, requires_grad=True) * 2]}, "can't optimize a non-leaf"),
        ({"params": {torch.ones(2, requires_grad=True)}}, "ordered"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            optimizer.add_param_group(wrong)
        assert len(optimizer.param_groups) == 1
    step(optimizer, params)
