"""The numbers about the buffer, against the same numbers from its entries."""

import math

import numpy as np
import pytest
import torch

from cmbench.optim import create_optimizer


def run(steps=12, large=None, **options):
    torch.manual_seed(0)
    params = [torch.randn(200, 200, requires_grad=True), torch.randn(200, 7, requires_grad=True)]
    optimizer = create_optimizer("adam_cm", params, capacity=4, decay=0.5, **options)
    for step in range(steps):
        for param in params:
            param.grad = torch.randn_like(param) * (3 if step == large else 1)
        optimizer.step()
    return params, optimizer


def expected(entries, priorities):
    rows = np.stack(entries)
    norms = np.linalg.norm(rows, axis=1)
    agreement, cosine = (
        np.mean([rows[first] @ row / norms[first] / norms[k] for k, row in enumerate(rows) if k != first])
        for first in (np.argmax(norms), np.argmax(priorities))
    )
    return rows.var(0).mean(), agreement, cosine


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_variance_and_cosine_similarity_are_those_of_the_entries(options):
    params, optimizer = run(large=9, **options)
    stats = optimizer.buffer_stats()
    state = [optimizer.state[p] for p in params]
    rows = [torch.cat([s[f"slot_{k}"].flatten() for s in state]).double().numpy() for k in range(4)]
    variance, agreement, cosine = expected(rows, state[0]["priorities"].numpy())
    assert agreement != pytest.approx(cosine)  # what is decayed ranks otherwise
    assert stats.agreement == pytest.approx(agreement, rel=1e-3, abs=1e-5)
    assert stats.variance == pytest.approx(variance, rel=1e-4)
    assert stats.cosine_similarity == pytest.approx(cosine, rel=1e-3, abs=1e-5)
    assert stats.occupancy == 4
    assert stats.priorities == [state[0]["priorities"].tolist()]
    assert sorted(stats.ages[0])[0] >= 1


@pytest.mark.parametrize("scope", ["per_tensor", "lane"])
def test_where_there_are_several_buffers_it_is_the_mean_over_them(scope):
    params, optimizer = run(scope=scope)
    stats = optimizer.buffer_stats()
    state = [optimizer.state[p] for p in params]
    found = []
    if scope == "per_tensor":
        for s in state:
            rows = [s[f"slot_{k}"].flatten().double().numpy() for k in range(4)]
            found.append(expected(rows, s["priorities"].numpy()))
    else:
        for lane in range(200):
            rows = [np.concatenate([s[f"slot_{k}"][lane].double().numpy() for s in state]) for k in range(4)]
            found.append(expected(rows, state[0]["priorities"][:, lane].numpy()))
    variance, agreement, cosine = np.mean(found, 0)
    assert stats.agreement == pytest.approx(agreement, rel=1e-3, abs=1e-5)
    assert stats.variance == pytest.approx(variance, rel=1e-4)
    assert stats.cosine_similarity == pytest.approx(cosine, rel=1e-3, abs=1e-5)
    assert len(stats.ages) == len(stats.priorities) == len(found)


def test_accepted_counts_since_the_last_call():
    params, optimizer = run(steps=3)
    first = optimizer.buffer_stats()
    assert (first.accepted, first.occupancy) == (3, 3)
    assert first.ages == [[3, 2, 1]]
    for size, accepted in ((1e-6, 1), (1e-7, 0), (100.0, 1), (math.nan, 0)):
        for param in params:
            param.grad = torch.full_like(param, size)
        optimizer.step()
        assert optimizer.buffer_stats().accepted == accepted


def test_there_is_nothing_to_say_without_a_buffer():
    param = torch.ones(2, requires_grad=True)
    optimizer = create_optimizer("adam_cm", [param], capacity=0)
    param.grad = torch.ones(2)
    optimizer.step()
    assert optimizer.buffer_stats() is None
