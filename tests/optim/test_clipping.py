"""Gradients that the optimizer clips in its own pass, and the norm that it has computed in doing so."""

from itertools import product

import pytest
import torch

from cmbench.optim import create_optimizer, toolchain

from .test_implementations import BUFFERED, COMPILED, FAST, case

SHAPES = ((), (7,), (40, 30), (17000,))
LIMIT = 0.5
OPTIONS = (
    {},
    {"weight_decay": 0.1, "maximize": True},
    {"scope": "per_tensor", "priority": "momentum"},
    {"capacity": 0},
)


def train(name, clip, steps=12, **options):
    """The parameters after some steps, and the norms of the gradients that they were made with, as the optimizer says.

    The gradients get smaller: the first are clipped, the last are not.
    """
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in SHAPES]
    optimizer = create_optimizer(name, params, lr=1e-2, **options)
    norms = []
    for step in range(steps):
        gradients = [torch.randn(s, generator=generator, dtype=torch.float64) * 0.5**step for s in SHAPES]
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = gradient.clone()
        clip(optimizer, params)
        optimizer.step()
        norms.append(optimizer.gradient_norm())
        if optimizer.clip_norm:
            for param, gradient in zip(params, gradients, strict=True):
                assert torch.equal(param.grad, gradient)
    return [param.detach() for param in params], norms


def by_itself(optimizer, params):
    optimizer.clip_norm = LIMIT


def by_torch(optimizer, params):
    torch.nn.utils.clip_grad_norm_(params, LIMIT)


@pytest.mark.parametrize(
    ("name", "fast", "options"),
    [case(*each) for each in product(BUFFERED, [{"foreach": False}, *FAST, COMPILED], OPTIONS)],
)
def test_a_step_is_made_with_the_gradient_that_torch_would_clip(name, fast, options, monkeypatch):
    fast = dict(fast)
    monkeypatch.setenv(toolchain.OFF, str(int(not fast.pop("native", True))))
    (got, norms), (expected, _) = (train(name, clip, **fast, **options) for clip in (by_itself, by_torch))
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    assert float(norms[0]) == pytest.approx(LIMIT, rel=1e-4)
    assert float(norms[-1]) < LIMIT / 2


@pytest.mark.parametrize("fast", [{"foreach": False}, *FAST])
@pytest.mark.parametrize("options", [{}, {"scope": "per_tensor"}, {"priority": "fifo"}, {"priority": "random"}])
def test_the_norm_comes_out_of_a_step_that_has_taken_it(options, fast):
    _, norms = train("adam_cm", by_torch, **options, **fast)
    _, expected = train("adam_cm", by_itself, **options, **fast)
    torch.testing.assert_close(torch.stack(norms), torch.stack(expected), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [("adam_cm", {"priority": "momentum"}), ("adam_cm", {"capacity": 0}), ("sgd_cg", {"weight_decay": 0.1})],
)
def test_a_step_that_has_not_taken_it_does_not_say_another(name, options):
    _, norms = train(name, by_torch, **options)
    assert norms == [None] * len(norms)


def test_a_gradient_that_is_no_number_stays_so():
    param = torch.ones(3, requires_grad=True)
    optimizer = create_optimizer("adam_cm", [param])
    optimizer.clip_norm = LIMIT
    param.grad = torch.tensor([1.0, float("nan"), 1.0])
    optimizer.step()
    assert param.isnan().all()
