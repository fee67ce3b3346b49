"""The native step of lanes: what `plain` does to each of them, and `plain` itself where it cannot be used."""

import shutil
from itertools import product

import pytest
import torch

from cmbench.optim import create_optimizer, native_lanes, trial
from cmbench.optim.addressed import Variant
from cmbench.optim.memories import MEMORIES
from cmbench.optim.native_lanes import LanesPlan
from cmbench.optim.rules import RULES
from cmbench.optim.trial import loaded

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")

PRIORITIES = ("gradient", "momentum", "fifo", "random")
NAMES = [f"{rule}_{memory}" for rule, memory in product(RULES, MEMORIES)]


def gradient(x, step):
    found = 4 * x**3 - 3 * x + torch.sin(20 * x + step)
    found[3] = torch.nan if step == 5 else found[3]  # lost from here on
    return found


def trained(name, fused, steps=300, shape=(37, 3), dtype=torch.float64, **options):
    """A parameter of lanes, its optimizer, after more steps than the sum of a buffer is kept for."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()
    optimizer = create_optimizer(name, [x], **{"lr": 1e-3, "capacity": 4} | options, scope="lane", fused=fused)
    for step in range(steps):
        x.grad = gradient(x.detach(), step)
        optimizer.step()
    return x.detach(), optimizer


def assert_alike(native, plain, tolerance):
    (x, mine), (y, reference) = native, plain
    torch.testing.assert_close(x, y, rtol=tolerance, atol=tolerance, equal_nan=True)
    states = zip(mine.state_dict()["state"][0].items(), reference.state_dict()["state"][0].items(), strict=True)
    for (name, value), (_, expected) in states:
        torch.testing.assert_close(value, expected, rtol=tolerance, atol=tolerance, equal_nan=True, msg=name)


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("priority", PRIORITIES)
def test_it_does_what_plain_does(name, priority):
    options = {"priority": priority, "weight_decay": 0.1}
    native, plain = trained(name, True, **options), trained(name, False, **options)
    assert isinstance(native[1]._implementation._plan, LanesPlan)
    assert_alike(native, plain, 1e-11)


@needs_compiler
@pytest.mark.parametrize("shape", [(1, 1), (16, 1), (33,), (5, 2, 3), (200, 40)], ids=str)
def test_it_does_so_for_lanes_of_any_number_and_shape(shape):
    def pair(fused):
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(shape, dtype=torch.float64, generator=generator).requires_grad_()
        optimizer = create_optimizer("adam_cm", [x], capacity=3, scope="lane", fused=fused, maximize=True)
        for step in range(20):
            x.grad = torch.cos(9 * x.detach() + step)
            optimizer.step()
        return x.detach(), optimizer

    assert_alike(pair(True), pair(False), 1e-11)


@needs_compiler
def test_a_lane_is_to_the_last_bit_what_it_is_alone():
    def run(points):
        x = points.clone().requires_grad_()
        optimizer = create_optimizer("adam_cm", [x], lr=1e-2, capacity=3, scope="lane", fused=True)
        for step in range(60):
            x.grad = torch.sin(20 * x.detach() + step)
            optimizer.step()
        return x.detach()

    start = torch.randn(41, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    together = run(start)
    for lane in (0, 15, 16, 40):
        assert torch.equal(together[lane], run(start[[lane]])[0])


@needs_compiler
def test_it_goes_on_with_a_state_that_was_loaded():
    _, whole = trained("adam_cm", True, steps=40)
    x, half = trained("adam_cm", True, steps=20)
    y = x.clone().requires_grad_()
    other = create_optimizer("adam_cm", [y], capacity=4, scope="lane", fused=True)
    other.load_state_dict(half.state_dict())
    for step in range(20, 40):
        y.grad = gradient(y.detach(), step)
        other.step()
    assert_alike((y.detach(), other), (whole.param_groups[0]["params"][0].detach(), whole), 1e-12)


@needs_compiler
@pytest.mark.parametrize("how", ["two parameters", "transposed", "authors' first step"])
def test_what_it_cannot_do_is_done_by_plain(how):
    def pair(fused):
        x = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)
        params = [x.t().contiguous().t()] if how == "transposed" else [x.clone()]
        params += [x.clone()] if how == "two parameters" else []
        params = [param.requires_grad_() for param in params]
        first = {"first_step": "authors"} if how.startswith("authors") else {}
        optimizer = create_optimizer("adam_cm", params, capacity=2, scope="lane", fused=fused, **first)
        for step in range(8):
            for param in params:
                param.grad = torch.sin(3 * param.detach() + step)
            optimizer.step()
        return params[-1].detach(), optimizer

    assert_alike(pair(True), pair(False), 1e-12)


@needs_compiler
def test_a_wrong_one_is_not_used(monkeypatch):
    right = native_lanes.LanesPlan.run

    def run(self, group, judge):
        right(self, group, judge)
        group.rankings[0].ages[0, 1] += 1

    monkeypatch.setattr(native_lanes.LanesPlan, "run", run)
    trial._warn_once.cache_clear()
    trial._tried.cache_clear()
    variant = Variant("adam", "cm", torch.float64, torch.float64, lanewise=True)
    with pytest.warns(UserWarning, match=r"no native step, plain is used instead \(its result is wrong\)"):
        assert loaded(variant, "plain") is None
    trial._tried.cache_clear()
