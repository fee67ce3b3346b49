"""Hessian-vector products against dense Hessians in float64."""

import pytest
import torch

from cmbench.curvature.problem import evaluation_batches, loss_hessian, loss_of
from cmbench.curvature.products import Hessian
from cmbench.workloads.registry import get_workload

from .networks import NETWORKS, dense_hessian, problem


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("whole", [True, False], ids=["one batch", "two batches"])
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "computed anew"])
def test_products_are_those_of_the_dense_hessian_over_all_examples(name, whole, keep):
    model, loss, batches, everything = problem(name)
    hessian = Hessian(model, loss, [(everything, 1.0)] if whole else batches, keep=keep)
    dense = dense_hessian(model, loss, everything)
    for seed in range(3):  # a gradient that is kept is good for more than one product
        vector = torch.randn(hessian.size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(hessian.matvec(vector), dense @ vector, rtol=1e-9, atol=1e-11)
    assert hessian.products == 3


def test_processes_compute_a_share_each():
    model, loss, batches, everything = problem("mlp")
    vector = torch.randn(sum(p.numel() for p in model.parameters()), dtype=torch.float64)
    shares = []
    for rank in range(3):  # one of them has no batch
        Hessian(model, loss, batches[rank::3], lambda share: shares.append(share) or share).matvec(vector)
    torch.testing.assert_close(sum(shares), dense_hessian(model, loss, everything) @ vector, rtol=1e-9, atol=1e-11)


def test_parameters_that_are_not_trained_are_no_variables():
    model, loss, _, everything = problem("mlp")
    model[0].weight.requires_grad_(False)
    hessian, dense = Hessian(model, loss, [(everything, 1.0)]), dense_hessian(model, loss, everything)
    skipped = model[0].weight.numel()
    assert hessian.size == len(dense) - skipped
    vector = torch.ones(hessian.size, dtype=torch.float64)
    torch.testing.assert_close(hessian.matvec(vector), dense[skipped:, skipped:] @ vector)


@pytest.mark.parametrize(("workload", "examples"), [("digits", 700), ("pydoc", 300)])
def test_a_batch_that_is_differentiated_in_parts_has_the_same_hessian(workload, examples):
    task = get_workload(workload)
    task.load(torch.device("cpu"))
    torch.manual_seed(0)
    model = task.model().eval()
    ((batch, _),) = evaluation_batches(task, examples, examples)
    in_parts, batches = loss_hessian(model, task, examples, examples)
    assert batches == 1
    vector = torch.randn(in_parts.size, generator=torch.Generator().manual_seed(1))
    as_one = Hessian(model, loss_of(task), [(batch, 1.0)])
    torch.testing.assert_close(in_parts.matvec(vector), as_one.matvec(vector), rtol=1e-3, atol=1e-5)
