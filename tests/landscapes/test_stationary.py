"""Exact Hessians and Newton's method against torch.func, known spectra and SciPy."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from cmbench.landscapes.functions import ackley_rosenbrock, goldstein_price, levy, quadratic
from cmbench.landscapes.stationary import derivatives, grid_minima, largest_eigenvalue, polish


def random(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 4 - 2


@pytest.mark.parametrize("function", [goldstein_price, ackley_rosenbrock, levy])
def test_the_hessian_is_that_of_torch_func_point_by_point(function):
    x = random(15, 2)
    gradient, hessian = derivatives(function, x)
    for i, point in enumerate(x):
        torch.testing.assert_close(gradient[i], torch.func.grad(function)(point))
        torch.testing.assert_close(hessian[i], torch.func.hessian(function)(point))


def test_the_largest_eigenvalue_of_a_rotated_quadratic_is_the_one_it_was_built_with():
    spectrum = torch.tensor([0.5, 3.0, 40.0, 7.0], dtype=torch.float64)
    rotation, _ = torch.linalg.qr(random(4, 4))
    values = largest_eigenvalue(lambda x: quadratic(x @ rotation, spectrum), random(9, 4))
    torch.testing.assert_close(values, torch.full((9,), 40.0, dtype=torch.float64))


def test_a_linear_function_has_no_curvature_and_a_lost_point_is_nan():
    x = random(3, 2)
    x[1, 0] = torch.inf
    values = largest_eigenvalue(lambda x: x.square().sum(-1).sqrt() * 0 + x.sum(-1), x)
    assert torch.isnan(values).tolist() == [False, True, False]
    assert values[0] == 0
    assert largest_eigenvalue(lambda x: x.sum(-1), random(2, 2)).tolist() == [0, 0]


def test_newton_finds_the_root_of_the_derivative_that_brentq_finds():
    def line(x):
        return torch.cos(x[..., 0]) + 0.1 * x[..., 0] ** 2

    root = brentq(lambda x: -np.sin(x) + 0.2 * x, 2, 3)
    found = polish(line, torch.tensor([[2.4], [-2.7]], dtype=torch.float64))
    np.testing.assert_allclose(found[:, 0], [root, -root], atol=1e-12)


def test_the_grid_finds_exactly_the_four_minima_of_goldstein_price():
    found = grid_minima(goldstein_price, (-2, 2), 2)
    expected = [[-0.6, -0.4], [0, -1], [1.2, 0.8], [1.8, 0.2]]
    np.testing.assert_allclose(found, expected, atol=1e-9)
