"""What an optimizer remembers survives being saved, copied and loaded."""

import copy
import io
import pickle
from itertools import permutations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cmbench.optim import create_optimizer, get_info, list_optimizers

SAVE_AFTER, STEPS = 37, 90


def advance(optimizer, closure_at, steps):
    for t in steps:
        optimizer.step(closure_at(optimizer, t))


def through_a_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def ways(name):
    """Cases: what takes a compilation is long, but for one optimizer."""
    cases = [pytest.param(name, {})]
    if get_info(name).memory:
        cases += [
            pytest.param(name, options)
            for options in ({"scope": "per_tensor"}, {"foreach": False}, {"priority": "random"})
        ]
        marks = [] if name == "adam_cm" else pytest.mark.long
        fused = ({"fused": True}, {"fused": True, "scope": "per_tensor"})
        cases += [pytest.param(name, options, marks=marks) for options in fused]
    return cases


@pytest.mark.parametrize(("name", "options"), [case for name in list_optimizers() for case in ways(name)])
def test_resuming_from_a_file_gives_the_identical_trajectory(name, options, problem, closure_for):
    chosen = {"lr": 1e-2} | options
    params, closure_at = closure_for(problem)
    whole = create_optimizer(name, params, **chosen)
    advance(whole, closure_at, range(SAVE_AFTER))
    saved, at = through_a_file(whole.state_dict()), [p.detach().clone() for p in params]
    advance(whole, closure_at, range(SAVE_AFTER, STEPS))

    others, closure_at = closure_for(problem)
    with torch.no_grad():
        for other, value in zip(others, at, strict=True):
            other.copy_(value)
    resumed = create_optimizer(name, others, **chosen)
    resumed.load_state_dict(saved)
    advance(resumed, closure_at, range(SAVE_AFTER, STEPS))
    for a, b in zip(params, others, strict=True):
        assert torch.equal(a, b)


IMPLEMENTATIONS = (
    {"foreach": False, "fused": False},
    {"foreach": True, "fused": False},
    {"foreach": False, "fused": True},
)


@pytest.mark.parametrize(("source", "target"), list(permutations(IMPLEMENTATIONS, 2)), ids=str)
@pytest.mark.parametrize("name", ["adam_cm", "sgd_sam_cg", "rmsprop_cm"])
def test_a_checkpoint_moves_from_one_implementation_to_another(name, source, target, problem, closure_for):
    def trained(first, then):
        params, closure_at = closure_for(problem)
        optimizer = create_optimizer(name, params, lr=1e-2, **first)
        advance(optimizer, closure_at, range(SAVE_AFTER))
        other = create_optimizer(name, params, lr=1e-2, **first)
        other.load_state_dict(through_a_file(optimizer.state_dict()))
        for group in other.param_groups:
            group |= then
        advance(other, closure_at, range(SAVE_AFTER, STEPS))
        return params

    for a, b in zip(trained(source, target), trained(source, source), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("options", IMPLEMENTATIONS[:2], ids=str)  # the last reads the steps of a checkpoint
@pytest.mark.parametrize(("source", "target"), [("cpu", "cuda"), ("cuda", "cpu")])
@pytest.mark.parametrize("name", ["adam_cm", "sgd_sam_cg", "rmsprop_cm"])
def test_a_checkpoint_moves_from_one_device_to_another(name, source, target, options):
    with FakeTensorMode():

        def stepped(device, saved=None):
            params = [torch.randn(s, device=device, requires_grad=True) for s in ((4,), (300, 200))]
            optimizer = create_optimizer(name, params, lr=1e-2, buffer_dtype=torch.bfloat16, **options)
            if saved:
                optimizer.load_state_dict(saved)
            for _ in range(3):
                for param in params:
                    param.grad = torch.sin(param.detach())
                optimizer.step(lambda: torch.zeros(()))
            return optimizer.state_dict()

        saved = stepped(source)
        moved = stepped(target, saved)
    for index, state in saved["state"].items():
        assert {key: value.dtype for key, value in moved["state"][index].items()} == {
            key: value.dtype for key, value in state.items()
        }
        assert {value.device.type for value in moved["state"][index].values()} == {target}


def trained_on(devices, name, options, steps=12):
    """The parameters after so many steps on each of the devices, one after the other, of one checkpoint handed on."""
    saved, values = None, [torch.linspace(-1, 1, n, dtype=torch.float64) for n in (4, 3000)]
    for device in devices:
        params = [value.to(device).requires_grad_() for value in values]
        optimizer = create_optimizer(name, params, lr=1e-2, **options)
        if saved:
            optimizer.load_state_dict(through_a_file(saved))
        for step in range(steps):

            def closure(params=params, step=step):
                for param in params:
                    param.grad = torch.sin(3 * param.detach() + step)
                return params[0].detach().sum()

            optimizer.step(closure)
        saved, values = optimizer.state_dict(), [param.detach().cpu() for param in params]
    return values


ACCELERATOR = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU to move a checkpoint to")
)


@pytest.mark.parametrize("options", IMPLEMENTATIONS, ids=str)
@pytest.mark.parametrize("other", ["cpu", ACCELERATOR])
@pytest.mark.parametrize("name", ["adam_cm", "sgd_sam_cg", "rmsprop_cm"])
def test_a_training_goes_on_on_another_device_and_back(name, other, options):
    expected = trained_on(["cpu", "cpu", "cpu"], name, IMPLEMENTATIONS[0])
    for a, b in zip(trained_on(["cpu", other, "cpu"], name, options), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "options"), [(n, {}) for n in list_optimizers()] + [("adam_sam_cm", {"fused": True})])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_goes_its_own_way(name, options, duplicate, problem, closure_for):
    params, closure_at = closure_for(problem)
    optimizer = create_optimizer(name, params, lr=1e-2, **options)
    advance(optimizer, closure_at, range(SAVE_AFTER))
    twins, twin = duplicate((params, optimizer))
    frozen = [t.detach().clone() for t in twins]
    advance(optimizer, closure_at, range(SAVE_AFTER, STEPS))
    assert all(torch.equal(a, b) for a, b in zip(frozen, twins, strict=True))
    assert twin.param_groups[0]["params"][0] is twins[0]
    # Give the twin the gradients the original had: it must follow exactly.
    params, closure_at = closure_for(problem)
    with torch.no_grad():
        for param, value in zip(params, frozen, strict=True):
            param.copy_(value)

    def twin_closure(t):
        def closure():
            twin.zero_grad()
            for param, twin_param in zip(params, twins, strict=True):
                param.data.copy_(twin_param.data)
            loss = closure_at(twin_probe, t)()
            for param, twin_param in zip(params, twins, strict=True):
                twin_param.grad = param.grad.clone()
            return loss

        return closure

    twin_probe = torch.optim.SGD(params)
    for t in range(SAVE_AFTER, STEPS):
        twin.step(twin_closure(t))
    original = optimizer.param_groups[0]["params"]
    assert all(torch.equal(a, b) for a, b in zip(original, twins, strict=True))


def test_slots_are_entries_of_the_parameters_shape_and_one_ranking_is_shared(problem, closure_for):
    params, closure_at = closure_for(problem)
    optimizer = create_optimizer("adam_cm", params, capacity=3)
    advance(optimizer, closure_at, range(5))
    optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
    rankings = {id(optimizer.state[p]["priorities"]) for p in params}
    assert len(rankings) == 1
    for param in params:
        state = optimizer.state[param]
        assert all(state[f"slot_{k}"].shape == param.shape for k in range(3))
        assert state["ages"].dtype == torch.int64
        total = sum(state[f"slot_{k}"] for k in range(3))
        torch.testing.assert_close(state["buffer_sum"], total)
