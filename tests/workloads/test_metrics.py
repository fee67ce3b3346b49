"""Metrics, gathered batch by batch by one or several processes, against scikit-learn's over everything at once."""

import copy
import threading

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from torch import nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException

from cmbench.workloads.metrics import ACCURACY, AUC, F1, R2, RMSE, Shard
from cmbench.workloads.tensors import TensorWorkload

COUNT = 47  # of validation examples, in batches of 10


def workload(metric, outputs, targets):
    made = TensorWorkload(*[(torch.randn(COUNT, 5), targets)] * 2, lambda: nn.Linear(5, outputs), metric)
    made.valid_batch = 10
    made.load(torch.device("cpu"))
    return made


def cases():
    """A metric with a workload that has it, and its value by scikit-learn of all targets and outputs."""
    generator = np.random.default_rng(0)
    classes = torch.tensor(generator.integers(0, 3, COUNT))
    sides, numbers = (classes > 0).long(), torch.tensor(generator.normal(size=COUNT), dtype=torch.float32)
    return {
        "accuracy": (3, classes, lambda y, out: 100 * sklearn.accuracy_score(y, out.argmax(1))),
        "f1": (3, classes, lambda y, out: sklearn.f1_score(y, out.argmax(1), average="macro")),
        "auc": (1, sides, lambda y, out: sklearn.roc_auc_score(y, out[:, 0])),
        "r2": (1, numbers, lambda y, out: sklearn.r2_score(y, out[:, 0])),
        "rmse": (1, numbers, lambda y, out: sklearn.mean_squared_error(y, out[:, 0]) ** 0.5),
    }


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_it_is_scikit_learns_of_everything_at_once(name):
    outputs, targets, expected = CASES[name]
    made = workload(name, outputs, targets)
    model = made.model()
    with torch.no_grad():
        predicted = model(made.valid_inputs).double().numpy()
    assert made.evaluate(model).metric == pytest.approx(expected(targets.numpy(), predicted), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_processes_find_together_what_one_finds(name):
    outputs, targets, _ = CASES[name]
    made = workload(name, outputs, targets)
    model, size = made.model(), 3
    barrier, given, found = threading.Barrier(size), [None] * size, [None] * size

    def process(rank):
        def all_reduce(tensor):
            given[rank] = tensor
            barrier.wait()
            total = sum(given[1:], given[0])
            barrier.wait()
            return total

        found[rank] = copy.deepcopy(made).evaluate(copy.deepcopy(model), Shard(rank, size), all_reduce)

    threads = [threading.Thread(target=process, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    alone = made.evaluate(model)
    for each in found:
        assert (each.loss, each.metric) == pytest.approx((alone.loss, alone.metric), rel=1e-5)


def test_r2_of_targets_far_from_zero_keeps_its_digits():
    targets = 1e5 + torch.tensor(np.random.default_rng(0).normal(size=COUNT), dtype=torch.float32)
    made = workload("r2", 1, targets)
    model = made.model()
    model.bias.data.fill_(1e5)
    with torch.no_grad():
        expected = sklearn.r2_score(targets.double(), model(made.valid_inputs).double()[:, 0])
    assert made.evaluate(model).metric == pytest.approx(expected, rel=1e-3)


def test_auc_ranks_logits_that_look_like_probabilities():
    """In the first batch every logit lies between 0 and 1, in the second none does."""
    tally = AUC.tally()
    for logits, sides in (([0.9, 0.2, 0.8], [1, 0, 0]), ([-3.0, 5.0, 2.0], [0, 1, 0])):
        tally.update(torch.tensor(logits), torch.tensor(sides), torch.tensor(0.0))
    expected = sklearn.roc_auc_score([1, 0, 0, 0, 1, 0], [0.9, 0.2, 0.8, -3, 5, 2])
    assert tally.evaluation(6, Shard(), lambda sums: sums).metric == pytest.approx(expected)


@pytest.mark.parametrize("metric", [ACCURACY, AUC, F1, R2, RMSE], ids=lambda metric: metric.name)
def test_a_batch_makes_nobody_wait_for_the_device(metric):
    with FakeTensorMode():
        tally, classes = metric.tally(), metric in (ACCURACY, F1)
        for _ in range(2):
            targets = torch.ones(8, device="cuda")
            outputs = torch.randn((8, 3) if classes else 8, device="cuda")
            tally.update(outputs, targets.long() if classes else targets, torch.ones((), device="cuda"))
        with pytest.raises(DataDependentOutputException):
            targets.sum().item()  # what asks for a value raises here
