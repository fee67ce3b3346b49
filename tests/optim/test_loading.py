"""States of other optimizers and of other settings: taken where they fit, else refused before anything is changed."""

import copy
import math
import warnings

import pytest
import torch

from cmbench.optim import MEG, SAM, SGDCG, SGDCM, AdamCG, AdamCM, create_optimizer, get_info, list_optimizers
from cmbench.optim.classes import class_of
from cmbench.optim.memory_over import MemoryOver

MEMORY = [name for name in list_optimizers() if get_info(name).memory]
RMSpropCG, RMSpropCM = class_of("rmsprop", "cg"), class_of("rmsprop", "cm")


def parameters(*shapes):
    torch.manual_seed(0)
    return [torch.randn(shape).requires_grad_() for shape in shapes or ((4, 3), (5,))]


def step(optimizer, times=3):
    def closure():
        for group in optimizer.param_groups:
            for param in group["params"]:
                param.grad = torch.sin(3 * param.detach())
        return torch.zeros(())

    for _ in range(times):
        optimizer.step(closure)


def saved_by(made, shapes=(), **settings):
    optimizer = made(parameters(*shapes), lr=3e-2, **settings)
    step(optimizer)
    return optimizer.state_dict()


def frozen(optimizer):
    return copy.deepcopy(optimizer.state_dict())


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


TAKEN = [
    (torch.optim.AdamW, {}, AdamCM, {"step", "exp_avg", "exp_avg_sq"}),
    (torch.optim.AdamW, {"amsgrad": True}, AdamCG, {"step", "exp_avg", "exp_avg_sq"}),
    (torch.optim.Adam, {"fused": True}, AdamCM, {"step", "exp_avg", "exp_avg_sq"}),
    (torch.optim.NAdam, {}, AdamCM, {"step", "exp_avg", "exp_avg_sq"}),
    (torch.optim.RAdam, {}, AdamCG, {"step", "exp_avg", "exp_avg_sq"}),
    (torch.optim.SGD, {"momentum": 0.9}, SGDCG, {"momentum_buffer"}),
    (torch.optim.RMSprop, {"momentum": 0.9}, RMSpropCG, {"step", "square_avg", "momentum_buffer"}),
    (AdamCG, {}, AdamCM, {"step", "exp_avg", "exp_avg_sq"}),
]


@pytest.mark.parametrize("options", [{"foreach": False}, {"fused": True}], ids=str)
@pytest.mark.parametrize(
    ("source", "settings", "target", "kept"),
    TAKEN,
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_what_another_optimizer_keeps_as_well_is_taken_and_the_buffer_starts_empty(
    source, settings, target, kept, options
):
    saved = saved_by(source, **settings)
    optimizer = target(parameters(), capacity=2, **options)
    step(optimizer, 5)
    with pytest.warns(UserWarning, match="its buffer starts empty") as heard:
        optimizer.load_state_dict(saved)
    assert len(heard) == 1
    for index, record in optimizer.state_dict()["state"].items():
        for name in kept:
            torch.testing.assert_close(record[name], torch.as_tensor(saved["state"][index][name]))
        assert record.keys() == kept | {"step"}
    assert optimizer.param_groups[0]["lr"] == 3e-2
    assert all(bool(optimizer.param_groups[0][name]) is options.get(name, False) for name in ("foreach", "fused"))
    assert optimizer.buffer_stats() is None or optimizer.buffer_stats().occupancy == 0
    step(optimizer)
    assert optimizer.buffer_stats().accepted == 3
    assert optimizer.param_groups[0]["capacity"] == (5 if source is AdamCG else 2)


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_after_it_has_taken_it_it_goes_on_as_if_it_had_been_there(options):
    """Without slots Adam+CM is AdamW: loaded into it, the trajectory goes on."""
    whole, resumed = parameters(), parameters()
    source = torch.optim.AdamW(whole, lr=3e-2, weight_decay=0.1)
    step(source, 4)
    with torch.no_grad():
        for a, b in zip(resumed, whole, strict=True):
            a.copy_(b)
    optimizer = AdamCM(resumed, capacity=0, **options)
    with pytest.warns(UserWarning, match="taken exp_avg, exp_avg_sq, step of another"):
        optimizer.load_state_dict(copy.deepcopy(source.state_dict()))
    step(source, 4)
    step(optimizer, 4)
    torch.testing.assert_close(whole, resumed)


@pytest.mark.parametrize(
    ("source", "settings", "target", "why"),
    [
        (torch.optim.SGD, {"momentum": 0.9}, AdamCM, "lacks exp_avg, exp_avg_sq, step"),
        (torch.optim.SGD, {"momentum": 0.9}, SGDCM, "a momentum_buffer is a sum of gradients"),
        (torch.optim.RMSprop, {}, RMSpropCM, "lacks exp_avg"),
        (torch.optim.AdamW, {}, RMSpropCM, "lacks square_avg"),
        (torch.optim.Adagrad, {}, AdamCM, "lacks exp_avg, exp_avg_sq, and has step, sum"),
        (SGDCM, {}, AdamCM, "lacks exp_avg_sq"),
        (torch.optim.AdamW, {"shapes": ((4, 3), (6,))}, AdamCM, r"has exp_avg of shape \(6,\), and \(5,\) is needed"),
        (AdamCM, {"shapes": ((3, 4), (5,))}, AdamCM, r"has exp_avg of shape \(3, 4\), and \(4, 3\) is needed"),
        (torch.optim.AdamW, {"shapes": ((4, 3),)}, AdamCM, "doesn't match the size"),
        (AdamCM, {"shapes": ((4, 3), (5,), (1,))}, AdamCM, "doesn't match the size"),
    ],
    ids=str,
)
@pytest.mark.parametrize("wrap", [lambda base: base, SAM, MEG], ids=["alone", "SAM", "MEG"])
def test_what_does_not_fit_is_refused_before_anything_is_changed(source, settings, target, why, wrap):
    optimizer = wrap(target(parameters(), lr=1e-3))
    step(optimizer)
    before, saved = frozen(optimizer), saved_by(source, **settings)
    with pytest.raises(ValueError, match=why):
        optimizer.load_state_dict(saved)
    assert same(before, optimizer.state_dict())
    step(optimizer)


def test_a_state_that_contradicts_itself_is_refused():
    for broken in (
        {"slot_1": None},
        {"slot_2": torch.zeros(4, 3)},
        {"slot_0": torch.zeros(3)},
        {"buffer_sum": None},
        {"priorities": torch.zeros(3)},
        {"ages": torch.zeros(2, 4)},
        {"step": torch.zeros(2)},
    ):
        saved = saved_by(AdamCM, capacity=2)
        saved["state"][0] = {key: value for key, value in (saved["state"][0] | broken).items() if value is not None}
        optimizer = AdamCM(parameters(), capacity=2)
        before = frozen(optimizer)
        with pytest.raises(ValueError, match=r"does not fit adam_cm: parameter 0 .*; nothing was loaded"):
            optimizer.load_state_dict(saved)
        assert same(before, optimizer.state_dict())
    for setting in ({"lr": -1.0}, {"capacity": 2.5}, {"scope": "model"}, {"betas": (0.9, 1.0)}, {"sum_age": "x"}):
        saved = saved_by(AdamCM, capacity=2)
        saved["param_groups"][0] |= setting
        with pytest.raises(ValueError, match="invalid"):
            optimizer.load_state_dict(saved)
        assert same(before, optimizer.state_dict())


BROKEN = {
    **{f"step {str(step)[:4]}": {"step": step} for step in ("abc", None, [1, 2], math.nan, math.inf, -3, 1j, 10**400)},
    "step of nan": {"step": torch.tensor(math.nan)},
    "step of a complex number": {"step": torch.tensor(1j)},
    "slot_0": {"slot_0": "x"},
    "buffer_sum": {"buffer_sum": "x"},
    "priorities": {"priorities": "x"},
    "complex priorities": {"priorities": torch.zeros(2, dtype=torch.complex64)},
    "whole priorities": {"priorities": torch.zeros(2, dtype=torch.int64)},
    "ages that are broken": {"ages": torch.zeros(2)},
    "complex moment": {"exp_avg": torch.zeros(5, dtype=torch.complex64)},
    "no moment": {"exp_avg": None},
}


@pytest.mark.parametrize("capacity", [0, 2])
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_state_of_something_else_is_refused_before_anything_is_changed(broken, capacity):
    saved = saved_by(AdamCM, capacity=capacity)
    saved["state"][1] |= broken
    optimizer = AdamCM(parameters(), capacity=capacity)
    step(optimizer)
    before = frozen(optimizer)
    with pytest.raises(ValueError, match=r"does not fit adam_cm: parameter 1 .*; nothing was loaded"):
        optimizer.load_state_dict(saved)
    assert same(before, optimizer.state_dict())
    step(optimizer)


@pytest.mark.parametrize("record", ["x", [1], torch.zeros(3)], ids=["text", "a list", "a tensor"])
def test_a_record_that_is_no_mapping_is_refused(record):
    saved = saved_by(AdamCM)
    saved["state"][1] = record
    optimizer = AdamCM(parameters())
    before = frozen(optimizer)
    with pytest.raises(ValueError, match=r"parameter 1 has a \w+ for its state; nothing was loaded"):
        optimizer.load_state_dict(saved)
    assert same(before, optimizer.state_dict())


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize(("saved_with", "loaded_with"), [(5, 3), (3, 5), (0, 3), (3, 0)])
def test_the_capacity_is_the_saved_one_from_then_on(saved_with, loaded_with, options):
    params, others = parameters(), parameters()
    whole = AdamCM(params, lr=1e-2, capacity=saved_with, **options)
    step(whole, 6)
    with torch.no_grad():
        for a, b in zip(others, params, strict=True):
            a.copy_(b)
    resumed = AdamCM(others, lr=1e-2, capacity=loaded_with, **options)
    step_without_moving(resumed)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    step(whole, 6)
    step(resumed, 6)
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))
    resumed.add_param_group({"params": parameters((2,))})
    assert resumed.param_groups[1]["capacity"] == saved_with


def step_without_moving(optimizer):
    """So that what it has derived from its state must be dropped."""
    kept = [param.detach().clone() for group in optimizer.param_groups for param in group["params"]]
    step(optimizer, 4)
    with torch.no_grad():
        for param, value in zip(optimizer.param_groups[0]["params"], kept, strict=True):
            param.copy_(value)


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("name", MEMORY)
def test_a_state_of_an_older_version_loads(name, options):
    """Without the settings that came later, with a number for the step count, and without saying whose it is."""
    source = create_optimizer(name, parameters(), lr=1e-2)
    step(source, 4)
    old = copy.deepcopy(source.state_dict())
    del old["optimizer"]
    for group in old["param_groups"]:
        for key in ("foreach", "fused", "first_step", "rho", "gamma"):
            group.pop(key, None)
    for record in old["state"].values():
        record["step"] = float(record["step"])
    results = []
    for saved in (source.state_dict(), old):
        params = parameters()
        optimizer = create_optimizer(name, params, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            optimizer.load_state_dict(saved)
        if saved is not old:
            for group in optimizer.param_groups:
                group |= {"foreach": False, "fused": False} | options
        step(optimizer, 4)
        results.append(params)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(("wrap", "setting"), [(SAM, "rho"), (MEG, "gamma")])
@pytest.mark.parametrize("base", [torch.optim.AdamW, AdamCM])
def test_a_probe_takes_what_its_base_takes_and_keeps_its_own_settings(wrap, setting, base):
    optimizer = wrap(base(parameters(), lr=1e-3), **{setting: 0.2})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer.load_state_dict(saved_by(torch.optim.AdamW))
    assert optimizer.param_groups[0][setting] == 0.2
    assert optimizer.param_groups[0]["lr"] == 3e-2
    step(optimizer)
    before, wrong = frozen(optimizer), saved_by(base)
    wrong["param_groups"][0][setting] = -1
    with pytest.raises(ValueError, match=f"invalid {setting}: -1"):
        optimizer.load_state_dict(wrong)
    assert same(before, optimizer.state_dict())


@pytest.mark.filterwarnings("ignore:the state has no memory")
@pytest.mark.parametrize("wrap", [lambda base: base, SAM], ids=["alone", "SAM"])
def test_a_memory_over_an_optimizer_takes_the_optimizers_state_alone(wrap):
    optimizer = wrap(MemoryOver(torch.optim.NAdam(parameters(), lr=1e-3)))
    step(optimizer)
    saved = saved_by(torch.optim.NAdam)
    with pytest.warns(UserWarning, match="the buffer starts empty"):
        optimizer.load_state_dict(saved)
    memory = optimizer if wrap is not SAM else optimizer.base
    assert memory.buffer_stats() is None
    assert torch.equal(optimizer.state_dict()["state"][0]["exp_avg"], saved["state"][0]["exp_avg"])
    step(optimizer)
    assert memory.buffer_stats().occupancy == 3
    before = frozen(optimizer)
    for broken in (
        saved_by(torch.optim.NAdam, ((4, 3),)),
        saved_by(torch.optim.NAdam, ((4, 3),)) | {"memory": before["memory"]},
        before | {"memory": saved_by(SGDCG, ((3, 4), (5,)))},
    ):
        with pytest.raises(ValueError, match=r"match the size|does not fit"):
            optimizer.load_state_dict(broken)
        assert same(before, optimizer.state_dict())


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}], ids=["cg", "cm"])
@pytest.mark.parametrize("with_memory", [True, False])
@pytest.mark.parametrize("fused", [True, False])
def test_a_memory_is_as_it_was_when_the_optimizer_below_it_refuses_a_state(fused, with_memory, settings):
    def made():
        optimizer = MemoryOver(torch.optim.NAdam(parameters(), lr=1e-3), **settings)
        optimizer.buffer.param_groups[0] |= {"foreach": False, "fused": fused}
        step(optimizer, 2)
        optimizer.buffer_stats()
        step(optimizer, 2)
        return optimizer

    optimizer, twin = made(), made()
    broken = saved_by(torch.optim.NAdam, ((4, 3),))
    broken |= {"memory": frozen(made())["memory"]} if with_memory else {}
    with pytest.raises(ValueError, match="match the size"):
        optimizer.load_state_dict(broken)
    assert optimizer.buffer_stats() == twin.buffer_stats()
    assert same(optimizer.state_dict(), twin.state_dict())


def test_a_warning_that_is_an_error_leaves_a_state_that_is_loaded_whole():
    optimizer, saved = MemoryOver(torch.optim.NAdam(parameters(), lr=1e-3)), saved_by(torch.optim.NAdam)
    step(optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="the buffer starts empty"):
            optimizer.load_state_dict(saved)
    assert optimizer.buffer_stats() is None
    assert same(optimizer.base.state_dict()["state"], saved["state"])


@pytest.mark.parametrize("name", list_optimizers())
def test_hooks_around_saving_and_loading_run_in_order_and_see_what_was_loaded(name):
    optimizer, heard = create_optimizer(name, parameters(), lr=1e-3), []
    step(optimizer)
    optimizer.register_state_dict_pre_hook(lambda _: heard.append("before saving"))
    optimizer.register_state_dict_post_hook(lambda _, saved: saved | {"note": 1})
    saved = optimizer.state_dict()
    assert (heard.pop(), saved["note"]) == ("before saving", 1)
    other = create_optimizer(name, parameters(), lr=1e-1)

    def lowered(_, given):
        return given | {"param_groups": [group | {"lr": 5e-4} for group in given["param_groups"]]}

    def seen(loaded):
        record = loaded.state.get(loaded.param_groups[0]["params"][0], {})
        heard.append((loaded.param_groups[0]["lr"], {k: v.dtype for k, v in record.items() if k == "ages"}))

    other.register_load_state_dict_pre_hook(lowered)
    other.register_load_state_dict_post_hook(seen)
    other.load_state_dict(saved)
    assert heard == [(5e-4, {"ages": torch.int64} if get_info(name).memory else {})]
