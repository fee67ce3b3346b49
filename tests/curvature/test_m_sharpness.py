"""m-sharpness against closed forms, and against a search of the ball."""

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.curvature.m_sharpness import m_sharpness

from .networks import Quadratic, problem


def value(*args, **kwargs):
    return m_sharpness(*args, **kwargs).value


def test_on_a_plane_it_is_the_radius_times_the_slope():
    slope = torch.tensor([3.0, 4.0], dtype=torch.float64)
    found = m_sharpness(Quadratic(2), lambda m, a: m.theta @ a, [(slope, 0.25), (2 * slope, 0.75)], 0.1)
    assert found.value == pytest.approx(0.1 * (0.25 * 5 + 0.75 * 10))
    assert (found.smallest, found.largest) == (pytest.approx(0.5), pytest.approx(1.0))


def test_on_a_parabola_it_is_that_of_the_steepest_direction():
    model = Quadratic(3)
    model.theta.data += torch.tensor([2.0, 0.0, 0.0])
    found = value(model, lambda m, a: a * m.theta @ m.theta, [(torch.tensor(1.5), 1.0)], 0.05)
    assert found == pytest.approx(1.5 * (2.05**2 - 2**2))


@pytest.mark.parametrize("maximiser", ["ascent", "projected"])
def test_at_a_flat_point_it_is_zero_and_nothing_breaks(maximiser):
    assert value(Quadratic(3), lambda m, a: 0 * m.theta.sum(), [(None, 1.0)], maximiser=maximiser) == 0.0


def test_projected_ascent_turns_to_the_steepest_curvature():
    """½(100 x² + y²) at (1e-4, 1): the gradient points along y, the ball's maximum lies along x."""
    model, scales = Quadratic(2), torch.tensor([100.0, 1.0], dtype=torch.float64)
    model.theta.data += torch.tensor([1e-4, 1.0], dtype=torch.float64)
    loss = lambda m, _: 0.5 * (scales * m.theta**2).sum()  # noqa: E731
    angles = torch.linspace(0, 2 * torch.pi, 100001, dtype=torch.float64)
    circle = torch.stack([1e-4 + 0.5 * angles.cos(), 1 + 0.5 * angles.sin()], 1)
    highest = (0.5 * (scales * circle**2).sum(1)).max().item() - loss(model, None).item()
    assert value(model, loss, [(None, 1.0)], 0.5, maximiser="projected") == pytest.approx(highest, rel=1e-3)
    assert value(model, loss, [(None, 1.0)], 0.5) < highest / 2


@pytest.mark.parametrize("radius", [0.05, 0.5])
@pytest.mark.parametrize("adaptive", [False, True], ids=["plain", "adaptive"])
@pytest.mark.parametrize("seed", range(5))
def test_projected_ascent_is_within_a_hundredth_of_the_balls_maximum(seed, adaptive, radius):
    """In three dimensions, against every point of a fine grid over the sphere and one inside."""
    torch.manual_seed(seed)
    x, y = torch.randn(30, 1, dtype=torch.float64), torch.randint(2, (30,)).double()
    model = Quadratic(3)
    model.theta.data += torch.randn(3, dtype=torch.float64)

    def loss(m, batch):
        a, b, c = (m if isinstance(m, torch.Tensor) else m.theta).unbind(-1)
        inputs, targets = batch
        hidden = torch.tanh(inputs * a[..., None, None] + b[..., None, None]) if a.dim() else torch.tanh(inputs * a + b)
        outputs = (hidden * (c[..., None, None] if c.dim() else c)).squeeze(-1)
        return nn.functional.softplus(outputs).mean(-1) - (outputs * targets).mean(-1)

    theta = model.theta.detach()
    directions = np.random.default_rng(seed).normal(size=(200_000, 3))
    directions = torch.as_tensor(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    scale = theta.abs() if adaptive else torch.ones(3)
    base = loss(theta, (x, y)).item()
    shells = [loss(theta + r * radius * scale * directions[:50_000], (x, y)).max().item() for r in (0.3, 0.6, 0.9)]
    highest = max(loss(theta + radius * scale * directions, (x, y)).max().item(), *shells) - base
    ways = {"radius": radius, "adaptive": adaptive}
    found = value(model, loss, [((x, y), 1.0)], maximiser="projected", **ways)
    assert found >= 0.99 * highest
    assert found <= highest * 1.01 + 1e-12
    assert found >= value(model, loss, [((x, y), 1.0)], **ways)


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm", "transformer", "negative"])
def test_projected_ascent_is_never_below_one_step(name):
    model, loss, batches, _ = problem(name)
    for radius in (1e-3, 0.05, 1.0):
        one = m_sharpness(model, loss, batches, radius)
        many = m_sharpness(model, loss, batches, radius, maximiser="projected")
        assert many.value >= one.value
        assert many.gradients > one.gradients


def test_adaptive_sharpness_does_not_change_when_weights_are_rescaled():
    model, loss, batches, _ = problem("relu")
    before = {adaptive: value(model, loss, batches, 0.1, adaptive=adaptive) for adaptive in (True, False)}
    with torch.no_grad():  # the same function
        model[0].weight.mul_(10), model[0].bias.mul_(10), model[2].weight.div_(10)
    assert value(model, loss, batches, 0.1, adaptive=True) == pytest.approx(before[True])
    assert value(model, loss, batches, 0.1) != pytest.approx(before[False], rel=0.5)


@pytest.mark.parametrize("maximiser", ["ascent", "projected"])
def test_each_batch_has_its_own_direction_and_the_model_is_left_as_it_was(maximiser):
    model, loss, batches, _ = problem("mlp")
    before = [p.detach().clone() for p in model.parameters()]
    found = value(model, loss, batches, 1e-3, maximiser=maximiser)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
    # To first order each batch's rise is r·‖∇L‖; no point of the ball rises more than a little above it.
    slopes = []
    for batch, weight in batches:
        gradient = torch.autograd.grad(loss(model, batch), list(model.parameters()))
        slopes.append(weight * torch.cat([g.flatten() for g in gradient]).norm().item())
    assert found == pytest.approx(1e-3 * sum(slopes), rel=1e-2)
    assert len(slopes) == 2


def test_the_model_is_left_as_it_was_when_the_loss_fails():
    model, calls = Quadratic(2), []

    def loss(m, _):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no")
        return (m.theta - 1) @ (m.theta - 1)

    with pytest.raises(RuntimeError):
        m_sharpness(model, loss, [(None, 1.0)])
    assert torch.equal(model.theta, torch.zeros(2, dtype=torch.float64))
    assert isinstance(model.theta, nn.Parameter)
