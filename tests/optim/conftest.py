import pytest
import torch

from .reference import Problem


@pytest.fixture
def problem():
    return Problem()


@pytest.fixture
def closure_for():
    """Builds torch's view of a Problem: parameters, and a closure factory for step t."""

    def build(problem, dtype=torch.float64):
        params = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in problem.start]
        x = torch.tensor(problem.x, dtype=dtype)

        def closure_at(optimizer, t):
            def closure():
                optimizer.zero_grad()
                w, b, u = params
                loss = ((torch.tanh(x @ w + b) @ u - torch.tensor(problem.target(t), dtype=dtype)) ** 2).mean()
                loss.backward()
                return loss

            return closure

        return params, closure_at

    return build
