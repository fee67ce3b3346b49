"""Rates on quadratics: against eigenvalues on dense grids, the known optimum, Eq. 4 and 8, and simulated runs."""

import numpy as np
import pytest

from cmbench.experiments.quadratic import heavy_ball
from cmbench.landscapes.convergence import simulated_rates
from cmbench.landscapes.rates import best_rates, companion, rate


@pytest.mark.parametrize("capacity", [1, 3, 5])
def test_the_matrix_advances_the_recursion_of_the_update(capacity):
    h, alpha, beta = 0.7, 0.3, 0.6
    theta, momenta = 1.0, [0.2 * k for k in range(1, capacity + 1)]  # m_{t-1}, ..., m_{t-C}
    state = np.array([theta, *momenta])
    matrix = companion(np.array(h), np.array(alpha), np.array(beta), capacity)
    for _ in range(6):
        new = beta * momenta[0] + (1 - beta) * h * theta
        theta -= alpha * (new + sum(momenta) / capacity)
        momenta = [new, *momenta[:-1]]
        state = matrix @ state
        np.testing.assert_allclose(state, [theta, *momenta], rtol=1e-12)


@pytest.mark.parametrize("kappa", [2, 10, 1000])
def test_classical_momentum_reaches_polyaks_optimum(kappa):
    (optimum,) = best_rates([kappa], 0)
    assert optimum.rate == pytest.approx((kappa**0.5 - 1) / (kappa**0.5 + 1), abs=1e-6)
    assert heavy_ball(kappa) == pytest.approx(optimum.rate, abs=1e-6)


@pytest.mark.parametrize(("capacity", "beta"), [(0, None), (0, 0.9), (1, None), (5, None), (5, 0.9), (8, 0.5)])
@pytest.mark.parametrize("kappa", [1, 20, 1000, 10_000])
def test_the_rate_holds_for_4001_curvatures_between_the_ends(kappa, capacity, beta):
    """Spaced equally in their square root, as neither the search nor `rate` nor the simulation spaces them."""
    (optimum,) = best_rates([kappa], capacity, beta)
    h = np.linspace(kappa**-0.5, 1, 4001) ** 2
    radii = np.abs(np.linalg.eigvals(companion(h, optimum.alpha, optimum.beta, capacity))).max(-1)
    # Where two eigenvalues coincide, rounding moves them by the root of the machine's precision.
    assert radii.max() == pytest.approx(optimum.rate, abs=2e-7)
    assert radii.max() < 1
    assert rate(kappa, optimum.alpha, optimum.beta, capacity) == pytest.approx(optimum.rate, abs=2e-7)


@pytest.mark.parametrize("kappa", [50, pytest.param(2000, marks=pytest.mark.long)])
def test_no_learning_rate_and_momentum_of_a_scan_are_better_than_the_optimum_found(kappa):
    (fixed,) = best_rates([kappa], 5, beta=0.9)
    assert fixed.rate <= rate(kappa, np.geomspace(1e-4, 50, 200), np.array(0.9), 5).min() + 1e-9
    (both,) = best_rates([kappa], 5)
    assert both.rate <= fixed.rate
    alphas, betas = np.meshgrid(np.geomspace(1e-2, 50, 25), 1 - np.geomspace(1e-2, 1, 12))
    near = both.alpha * np.linspace(0.97, 1.03, 9)[:, None], both.beta * np.linspace(0.97, 1.03, 10)
    for scan in ((alphas, betas), near):
        assert both.rate <= rate(kappa, *scan, 5).min() + 1e-9


def test_a_condition_number_of_infinity_is_refused():
    with pytest.raises(ValueError, match="condition number inf: no learning rate converges"):
        best_rates([float("inf")], 5, beta=0.9)


def test_actual_runs_with_a_fifo_buffer_decay_at_the_computed_rate():
    optima = best_rates([5, 100], 5, beta=0.9) + best_rates([20], 5)
    for simulated, optimum in zip(simulated_rates(optima, 5), optima, strict=True):
        assert simulated == pytest.approx(optimum.rate, rel=0.01)
