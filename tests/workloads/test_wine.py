"""The smallest workload: a table of numbers."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine

from cmbench.workloads.registry import get_workload


@pytest.fixture(scope="module")
def wine():
    workload = get_workload("wine")
    workload.load(torch.device("cpu"))
    return workload


def test_every_wine_is_there_once_standardised_by_those_that_are_trained_on(wine):
    properties, cultivars = load_wine(return_X_y=True)
    mean, deviation = wine.train_inputs.double().mean(0), wine.train_inputs.double().std(0, correction=0)
    torch.testing.assert_close(mean, torch.zeros(13).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(deviation, torch.ones(13).double(), atol=1e-5, rtol=0)
    together = torch.cat([wine.train_inputs, wine.valid_inputs]).double().numpy()
    # To standardise is to stretch and to shift: it can be taken back where two wines are known.
    low, high = together.argmin(0), together.argmax(0)
    columns = np.arange(13)
    spans = (properties.max(0) - properties.min(0)) / (together[high, columns] - together[low, columns])
    restored = (together - together[low, columns]) * spans + properties.min(0)
    order, own = np.lexsort(properties.round(2).T), np.lexsort(restored.round(2).T)
    np.testing.assert_allclose(restored[own], properties[order], rtol=1e-4, atol=1e-3)
    targets = torch.cat([wine.train_targets, wine.valid_targets]).numpy()
    assert (targets[own] == cultivars[order]).all()


def test_both_parts_have_the_cultivars_in_their_proportion(wine):
    assert torch.bincount(wine.train_targets).tolist() == [47, 57, 38]
    assert torch.bincount(wine.valid_targets).tolist() == [12, 14, 10]
