"""What torch's own optimizers can be used for, every registered one can: a new one is tested by being registered."""

import copy
import math

import pytest
import torch

from cmbench.optim import create_optimizer, get_info, list_optimizers
from cmbench.optim.outside import Outside
from cmbench.optim.wrapper import state_tensors

REGISTERED = list_optimizers()
MEMORY = [name for name in REGISTERED if get_info(name).memory]
PROBED = [name for name in REGISTERED if get_info(name).probe]
COMPOSED = {
    "NAdam": {},
    "NAdam+SAM": {"probe": "sam"},
    "NAdam+MEG": {"probe": "meg"},
    "NAdam+CG": {"memory": "cg"},
    "NAdam+CM": {"memory": "cm"},
    "NAdam+SAM+CG": {"probe": "sam", "memory": "cg"},
    "RAdam+MEG+CM": {"probe": "meg", "memory": "cm"},
    "Adafactor+CG": {"memory": "cg"},
}
"""Optimizers that are not registered, with what is put to them."""
ALL = [*REGISTERED, *COMPOSED]


def make(name, params, **hyperparameters):
    """The optimizer of that name, registered or composed, over parameters or groups of them."""
    if name in REGISTERED:
        return create_optimizer(name, params, **hyperparameters)
    outside = Outside(name, getattr(torch.optim, name.partition("+")[0]))
    params = list(params)
    groups = params if isinstance(params[0], dict) else [{"params": params}]
    return outside.build(groups, outside.resolve(COMPOSED[name] | hyperparameters), None)


def own_defaults(name):
    """The hyperparameters of the rule alone."""
    if name in REGISTERED:
        return get_info(get_info(name).rule.key).defaults
    return Outside(name, getattr(torch.optim, name.partition("+")[0])).resolve({})


def has_scope(name):
    return (name in MEMORY or "sam" in name) if name in REGISTERED else "+C" in name or "+SAM" in name


def parameters(*shapes, dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


def closure_over(optimizer, params, target=1.0):
    def closure():
        optimizer.zero_grad(set_to_none=True)
        loss = sum(((p.float() - target) ** 2).sum() for p in params if p.requires_grad)
        loss.backward()
        return loss

    return closure


def step(optimizer, params, times=1, **how):
    for _ in range(times):
        loss = optimizer.step(closure_over(optimizer, params, **how))
    return loss


@pytest.mark.parametrize("name", ALL)
def test_step_returns_the_loss_and_lowers_it(name):
    params = parameters((4, 3), (5,))
    optimizer = make(name, params, lr=1e-2)
    first = step(optimizer, params)
    assert isinstance(first, torch.Tensor)
    assert step(optimizer, params, 30) < first


@pytest.mark.parametrize("name", ALL)
def test_groups_have_hyperparameters_of_their_own(name):
    rule = own_defaults(name)
    others = {"weight_decay": 0.3, "betas": (0.5, 0.6), "momentum": 0.5}
    if name.endswith("+CM"):  # over somebody else's optimizer all groups share the momentum's decay rate
        del others["betas"]
    own = {"lr": 2e-2} | {key: value for key, value in others.items() if key in rule}
    a, b = parameters((3, 2), (3, 2))
    together = make(name, [{"params": [a]}, {"params": [b], **own}], lr=1e-2, **scope(name))
    c, d = parameters((3, 2), (3, 2))
    alone = make(name, [c], lr=1e-2, **scope(name)), make(name, [d], **own, **scope(name))
    for _ in range(20):
        step(together, [a, b])
        step(alone[0], [c])
        step(alone[1], [d])
    torch.testing.assert_close([a, b], [c, d])


def scope(name):
    """Where every tensor decides for itself, two groups are two optimizers."""
    return {"scope": "per_tensor"} if has_scope(name) else {}


@pytest.mark.parametrize("name", ALL)
def test_parameters_without_gradient_stay_and_join_when_unfrozen(name):
    params = parameters((3,), (4,), (2, 2))
    params[1].requires_grad_(False)
    optimizer = make(name, params, lr=1e-2)
    before = params[1].clone()
    step(optimizer, params, 7)
    assert torch.equal(params[1], before)
    params[1].requires_grad_(True)
    step(optimizer, params, 7)
    assert not torch.equal(params[1], before)
    params[0].requires_grad_(False)
    before = params[0].detach().clone()
    step(optimizer, params, 7)
    assert torch.equal(params[0], before)
    assert all(p.isfinite().all() for p in params)


@pytest.mark.parametrize("name", ALL)
def test_a_group_added_in_mid_training_is_trained(name):
    params = parameters((3,), (4,))
    optimizer = make(name, params[:1], lr=1e-2)
    step(optimizer, params[:1], 5)
    optimizer.add_param_group({"params": params[1:], "lr": 5e-2})
    before = params[1].detach().clone()
    step(optimizer, params, 5)
    assert not torch.equal(params[1], before)
    if name not in MEMORY:
        return  # torch's own optimizers do not check
    with pytest.raises(ValueError, match="lr"):
        optimizer.add_param_group({"params": [torch.zeros(2, requires_grad=True)], "lr": -1.0})
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize("name", ALL)
def test_maximize_goes_the_other_way(name):
    (up,), (down,) = parameters((4,)), parameters((4,))
    ascent = make(name, [up], lr=1e-2, maximize=True)
    descent = make(name, [down], lr=1e-2)
    for _ in range(15):
        ascent.step(negative(closure_over(ascent, [up]), [up]))
        descent.step(closure_over(descent, [down]))
    torch.testing.assert_close(up, down)


def negative(closure, params):
    def negated():
        loss = closure()
        for param in params:
            param.grad.neg_()
        return -loss

    return negated


@pytest.mark.parametrize("name", ALL)
def test_the_learning_rate_may_be_a_tensor_and_follow_a_schedule(name):
    results = []
    for as_tensor in (False, True):
        params = parameters((3,), (2, 2))
        lr = torch.tensor(0.02) if as_tensor else 0.02
        # torch's own take a tensor only one parameter after the other.
        how = {} if name in MEMORY else {"foreach": False}
        optimizer = make(name, params, lr=lr, **how)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
        for _ in range(10):
            step(optimizer, params)
            schedule.step()
        assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0, abs=1e-8)
        results.append(params)
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_parameters_of_other_precisions(name, dtype):
    params, exact = parameters((4, 3), (5,), dtype=dtype), parameters((4, 3), (5,), dtype=torch.float64)
    with torch.no_grad():
        for p, e in zip(params, exact, strict=True):
            e.copy_(p)
    for own in (params, exact):
        step(make(name, own, lr=1e-3), own, 10)
    eps = torch.finfo(dtype).eps
    for p, e in zip(params, exact, strict=True):
        assert p.dtype == dtype
        torch.testing.assert_close(p.double(), e, rtol=60 * eps, atol=60 * eps)


@pytest.mark.parametrize("name", MEMORY)
def test_state_keeps_its_types_through_a_round_trip(name):
    params = parameters((4, 3), dtype=torch.float16)
    optimizer = make(name, params, buffer_dtype=torch.bfloat16)
    step(optimizer, params, 3)
    saved = optimizer.state_dict()
    other = make(name, parameters((4, 3), dtype=torch.float16), buffer_dtype=torch.bfloat16)
    other.load_state_dict(saved)
    for key, value in saved["state"][0].items():
        loaded = other.state_dict()["state"][0][key]
        assert (key, loaded.dtype) == (key, value.dtype)
        assert torch.equal(loaded, value)
    types = {key: value.dtype for key, value in saved["state"][0].items()}
    assert (types["slot_0"], types["buffer_sum"], types["ages"]) == (torch.bfloat16, torch.float32, torch.int64)


@pytest.mark.parametrize("name", ALL)
def test_step_hooks_run(name):
    params = parameters((3,))
    optimizer, heard = make(name, params), []
    optimizer.register_step_pre_hook(lambda *_: heard.append("before"))
    optimizer.register_step_post_hook(lambda *_: heard.append("after"))
    step(optimizer, params, 2)
    assert heard == ["before", "after"] * 2


@pytest.mark.parametrize("name", MEMORY)
def test_complex_and_sparse_are_refused(name):
    param = torch.zeros(3, dtype=torch.complex64, requires_grad=True)
    optimizer = make(name, [param])
    base = getattr(optimizer, "base", optimizer)
    param.grad = torch.ones_like(param)
    with pytest.raises(RuntimeError, match="complex"):
        base.step()
    embedding = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = make(name, embedding.parameters())

    def closure():
        optimizer.zero_grad()
        loss = embedding(torch.tensor([1, 2])).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step(closure)


@pytest.mark.parametrize("name", [n for n in MEMORY if n not in PROBED])
@pytest.mark.parametrize(
    "options", [{"foreach": False}, {"foreach": True}, pytest.param({"fused": True}, marks=pytest.mark.long)], ids=str
)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_neither_enters_the_buffer_nor_freezes_it(name, options, bad):
    params = parameters((200, 200), (3,))
    optimizer = make(name, params, lr=1e-3, capacity=3, decay=0.5, **options)
    step(optimizer, params, 5)
    before = optimizer.state_dict()["state"][0]["accepted"].clone()
    for param in params:
        param.grad = torch.full_like(param, bad)
    optimizer.step()
    state = optimizer.state_dict()["state"]
    assert torch.equal(state[0]["accepted"], before)
    for of_param in state.values():
        assert all(of_param[f"slot_{k}"].isfinite().all() for k in range(3))
        assert of_param["buffer_sum"].isfinite().all()
    with torch.no_grad():  # a user who goes back to a good point
        for param in params:
            param.copy_(torch.ones_like(param))
            for key in get_info(name).memory.state(get_info(name).rule, optimizer.param_groups[0]):
                optimizer.state[param][key].zero_()
    step(optimizer, params, 3, target=0.0)
    assert optimizer.state_dict()["state"][0]["accepted"] > before
    assert all(param.isfinite().all() for param in params)


@pytest.mark.parametrize("name", ALL)
def test_a_zero_gradient_gives_no_nan(name):
    params = parameters((3,), (2, 2))

    def closure():
        for param in params:
            param.grad = torch.zeros_like(param)
        return torch.zeros(())

    optimizer = make(name, params)
    for _ in range(5):
        optimizer.step(closure)
    torch.testing.assert_close(params, parameters((3,), (2, 2)))


@pytest.mark.parametrize(
    "options", [{"foreach": False}, {"foreach": True}, pytest.param({"fused": True}, marks=pytest.mark.long)], ids=str
)
def test_a_momentum_may_be_switched_on_and_off_in_mid_training(options):
    results = []
    for way in ({"foreach": False}, options):
        params = parameters((200, 200), (3,))
        optimizer = create_optimizer("sgd_cg", params, lr=1e-3, **way)
        for momentum in (0.0, 0.9, 0.0):
            optimizer.param_groups[0]["momentum"] = momentum
            step(optimizer, params, 4)
        results.append(params)
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("shapes", [[(0,)], [(0,), (5,)], [(50_000,), (3, 0)]], ids=str)
@pytest.mark.parametrize("scope", ["global", "per_tensor"])
@pytest.mark.parametrize("compiler", ["native", pytest.param("torch", marks=pytest.mark.long)])
@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_a_parameter_without_elements_is_no_trouble(options, compiler, scope, shapes, monkeypatch):
    if compiler == "torch":
        monkeypatch.setenv("CMBENCH_NO_NATIVE", "1")
    full = [shape for shape in shapes if 0 not in shape]
    alone = parameters(*full)
    params = alone_copies(alone, shapes)
    both = [(params, create_optimizer("adam_cm", params, scope=scope, **options))]
    if alone:
        both.append((alone, create_optimizer("adam_cm", alone, scope=scope, **options)))
    for own, optimizer in both:
        step(optimizer, own, 4)
    stats = [optimizer.buffer_stats() for _, optimizer in both]
    assert (stats[0] is None) if not alone else (stats[0] == stats[1])
    assert all(torch.equal(a, b) for a, b in zip((p for p in params if p.numel()), alone, strict=True))


def alone_copies(full, shapes):
    """Parameters of these shapes, with the numbers of the `full` ones."""
    rest = iter(full)
    return [
        next(rest).detach().clone().requires_grad_() if 0 not in s else torch.zeros(s, requires_grad=True)
        for s in shapes
    ]


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("name", MEMORY)
def test_what_strangers_keep_in_the_state_is_left_alone(name, options):
    params, joining = parameters((3,), (4,)), parameters((2,))
    optimizer = make(name, params, **options)
    base = getattr(optimizer, "base", optimizer)
    for state in ({"note": 1}, {"notes": {"priorities": 3}}):
        base.state.update(state)
    step(optimizer, params, 2)
    optimizer.add_param_group({"params": joining})
    step(optimizer, params + joining, 2)
    assert base.buffer_stats().occupancy == 4
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert (base.state["note"], base.state["notes"]) == (1, {"priorities": 3})
    base.state[torch.zeros(2)] = {"of": "a tensor that is no parameter"}
    step(optimizer, params + joining, 1)
    assert base.buffer_stats().occupancy == 5
    assert len(list(state_tensors(optimizer)))
