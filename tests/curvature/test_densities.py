"""Trace and spectral density against dense computations."""

import numpy as np
import pytest
import torch

from cmbench.curvature.products import Hessian
from cmbench.curvature.spectrum import spectrum
from cmbench.curvature.trace import trace

from .networks import dense_hessian, problem
from .test_eigenvalues import with_spectrum

OUTLIERS = np.r_[100, 50, 20, np.random.default_rng(0).normal(size=500)]


def test_the_interval_of_the_trace_holds_it_nineteen_times_of_twenty():
    found = [trace(with_spectrum(OUTLIERS), 60, seed=seed) for seed in range(100)]
    assert sum(low <= OUTLIERS.sum() <= high for low, high in (each.interval for each in found)) in range(86, 101)
    assert {each.products for each in found} == {60}
    assert np.mean([each.value for each in found]) == pytest.approx(OUTLIERS.sum(), abs=2)


def test_with_enough_products_the_trace_is_exact():
    model, loss, batches, everything = problem("mlp")
    found = trace(Hessian(model, loss, batches), 600)
    assert found.value == pytest.approx(torch.trace(dense_hessian(model, loss, everything)).item())
    assert found.interval == (found.value, found.value)
    with pytest.raises(ValueError, match="6 products"):
        trace(with_spectrum([1.0]), 5)


def test_the_density_has_the_moments_and_the_counts_of_the_spectrum():
    found = spectrum(with_spectrum(OUTLIERS), vectors=8)
    n = len(OUTLIERS)
    assert found.weights.sum() == pytest.approx(1)
    assert found.products == 8 * 40
    assert (found.nodes**2 @ found.weights) * n == pytest.approx((OUTLIERS**2).sum(), rel=0.5)  # 8 random vectors
    assert found.nodes.max() == pytest.approx(100)
    assert found.negative == pytest.approx((OUTLIERS < 0).mean(), abs=0.05)
    below = [(found.weights[found.nodes < edge].sum(), (edge > OUTLIERS).mean()) for edge in (-1, 0, 1, 2, 10)]
    assert all(abs(ours - truth) < 0.06 for ours, truth in below)


def test_a_whole_krylov_space_gives_the_eigenvalues_themselves():
    model, loss, batches, everything = problem("mlp")
    dense = torch.linalg.eigvalsh(dense_hessian(model, loss, everything))
    found = spectrum(Hessian(model, loss, batches), vectors=1, steps=len(dense))
    assert found.nodes.max() == pytest.approx(dense[-1].item())
    assert found.nodes.min() == pytest.approx(dense[0].item())


def test_weights_that_are_no_numbers_have_no_spectrum():
    model, loss, batches, _ = problem("mlp")
    torch.nn.init.constant_(model[0].weight, float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        spectrum(Hessian(model, loss, batches))
