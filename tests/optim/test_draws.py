"""The numbers in place of norms: splitmix64 in Python's integers, uniform, and independent of each other."""

import numpy as np
import pytest
import torch
from scipy import stats

from cmbench.optim.draws import uniform
from tests.optim.reference import drawn, splitmix64


def test_the_reference_is_the_published_generator():
    """The first outputs of splitmix64 from the state 1234567, as its reference implementation prints them."""
    gamma, state = 0x9E3779B97F4A7C15, 1234567
    outputs = [splitmix64((state + i * gamma) % 2**64) for i in range(5)]
    assert outputs == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", [0, 1, 2, 1000, 2**24 - 1])
def test_numbers_are_those_of_pythons_integers(step, dtype):
    found = uniform(torch.tensor(step, dtype=dtype), 50)
    assert found.tolist() == [drawn(step, i) for i in range(50)]


def test_they_are_uniform_and_neither_steps_nor_places_go_together():
    numbers = torch.stack([uniform(torch.tensor(float(step)), 400) for step in range(400)]).double().numpy()
    assert 0 < numbers.min() < numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 0.001
    for axis in (0, 1):
        for lag in (1, 2, 7):
            one, other = np.split(numbers, [lag], axis)[1], np.split(numbers, [400 - lag], axis)[0]
            # Of 1.6·10⁵ independent pairs the correlation has a standard deviation of 1/400.
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / 400
    cells, _, _ = np.histogram2d(numbers[1:].ravel(), numbers[:-1].ravel(), 10, [[0, 1], [0, 1]])
    assert stats.chisquare(cells.ravel()).pvalue > 0.001
