"""Hessian products and eigenvalues against dense float64 computations and known spectra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cmbench.curvature.hessian import Hessian, top_eigenvalue, weighted


class Quadratic(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(n, dtype=torch.float64))


def quadratic(matrix):
    matrix = torch.as_tensor(matrix, dtype=torch.float64)
    return Hessian(Quadratic(len(matrix)), lambda m, a: 0.5 * m.theta @ (a @ m.theta), [(matrix, 1.0)])


def with_spectrum(values, seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return q @ np.diag(values) @ q.T


def network_problem():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x, y = torch.randn(50, 4, dtype=torch.float64), torch.randint(3, (50,))
    loss = lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1])  # noqa: E731
    batches = weighted([(x[:20], y[:20]), (x[20:], y[20:])], lambda batch: len(batch[1]))
    return model, loss, batches, (x, y)


def dense_hessian(model, loss, batch):
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    shapes = [(name, p.shape, p.numel()) for name, p in model.named_parameters()]

    def value(theta):
        parts = dict(zip([n for n, _, _ in shapes], theta.split([c for _, _, c in shapes]), strict=True))
        parts = {name: parts[name].view(shape) for name, shape, _ in shapes}
        return loss(lambda x: torch.func.functional_call(model, parts, (x,)), batch)

    return torch.autograd.functional.hessian(value, flat)


def test_products_are_those_of_the_dense_hessian_over_all_examples():
    model, loss, batches, everything = network_problem()
    hessian, dense = Hessian(model, loss, batches), dense_hessian(model, loss, everything)
    for seed in range(3):
        vector = torch.randn(hessian.size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(hessian.matvec(vector), dense @ vector, rtol=1e-9, atol=1e-12)


def test_the_top_eigenvalue_of_a_network_is_the_dense_one():
    model, loss, batches, everything = network_problem()
    expected = torch.linalg.eigvalsh(dense_hessian(model, loss, everything))[-1].item()
    found = top_eigenvalue(Hessian(model, loss, batches), tolerance=1e-8)
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.converged
    assert found.residual < 1e-4


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.integers(0, 1000))
def test_known_spectra(values, seed):
    found = top_eigenvalue(quadratic(with_spectrum(values, seed)), tolerance=1e-10)
    scale = max(1.0, max(map(abs, values)))
    assert abs(found.value - max(values)) < 1e-6 * scale


def test_the_largest_is_meant_not_the_largest_in_magnitude():
    found = top_eigenvalue(quadratic(with_spectrum([-50.0, 3.0, 1.0, 0.5, 0.1])))
    assert found.value == pytest.approx(3.0, rel=1e-3)


def test_giving_up_is_said():
    spectrum = np.linspace(1, 1 + 1e-9, 200)
    found = top_eigenvalue(quadratic(with_spectrum(spectrum - 1)), iterations=1, tolerance=1e-14)
    assert not found.converged


def test_products_are_counted():
    heard = []
    found = top_eigenvalue(quadratic(with_spectrum([5.0, 4, 3, 2, 1])), product_done=lambda: heard.append(1))
    assert found.products == len(heard) > 0
