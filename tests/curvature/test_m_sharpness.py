"""m-sharpness against closed forms, and against a search of the ball."""

import pytest
import torch
from torch import nn

from cmbench.curvature.m_sharpness import m_sharpness

from .test_hessian import Quadratic, network_problem


def test_on_a_plane_it_is_the_radius_times_the_slope():
    slope = torch.tensor([3.0, 4.0], dtype=torch.float64)
    found = m_sharpness(Quadratic(2), lambda m, a: m.theta @ a, [(slope, 0.25), (2 * slope, 0.75)], 0.1)
    assert found == pytest.approx(0.1 * (0.25 * 5 + 0.75 * 10))


def test_on_a_parabola_it_is_that_of_the_steepest_direction():
    model = Quadratic(3)
    model.theta.data += torch.tensor([2.0, 0.0, 0.0])
    found = m_sharpness(model, lambda m, a: a * m.theta @ m.theta, [(torch.tensor(1.5), 1.0)], 0.05)
    assert found == pytest.approx(1.5 * (2.05**2 - 2**2))


def test_at_a_flat_point_it_is_zero_and_nothing_breaks():
    assert m_sharpness(Quadratic(3), lambda m, a: m.theta @ m.theta, [(None, 1.0)]) == 0.0


def test_each_batch_has_its_own_direction_and_the_model_is_left_as_it_was():
    model, loss, batches, _ = network_problem()
    before = [p.detach().clone() for p in model.parameters()]
    found = m_sharpness(model, loss, batches, 1e-3)
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
