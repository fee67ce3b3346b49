"""Rates on quadratics: against the known optimum, Eq. 4 and 8 written out, and simulated runs."""

import numpy as np
import pytest

from cmbench.experiments.quadratic import heavy_ball
from cmbench.landscapes.convergence import best_rates, companion, rate, simulated_rates


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


def test_no_learning_rate_of_a_scan_is_better_than_the_optimum_found():
    (optimum,) = best_rates([50], 5, beta=0.9)
    scan = rate(50, np.geomspace(1e-4, 10, 2000), np.array(0.9), 5)
    assert optimum.rate <= scan.min() + 1e-9
    (both,) = best_rates([50], 5)
    assert both.rate <= optimum.rate + 1e-9


def test_actual_runs_with_a_fifo_buffer_decay_at_the_computed_rate():
    optima = best_rates([5, 100], 5, beta=0.9) + best_rates([20], 5)
    for simulated, optimum in zip(simulated_rates(optima, 5), optima, strict=True):
        assert simulated == pytest.approx(optimum.rate, rel=0.01)
