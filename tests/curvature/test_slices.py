"""Losses on lines and planes against direct computations in float64."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from cmbench.curvature.contract import Problem
from cmbench.curvature.products import in_shapes
from cmbench.curvature.running_statistics import measure_statistics
from cmbench.curvature.slice_metrics import barrier
from cmbench.curvature.slices import (
    Triangle,
    along,
    around,
    combined_losses,
    distance,
    heights_over_chord,
    second_difference,
    weights_of,
)
from cmbench.experiments.measurements import SharpnessSettings
from cmbench.workloads.base import Batch

from .networks import F64, cnn, cross_entropy, dense_hessian, problem


def loss_at(model, loss, batch, theta):
    """The loss of all examples at once, at flat weights."""
    moved = copy.deepcopy(model)
    torch.nn.utils.vector_to_parameters(theta, moved.parameters())
    return loss(moved, batch).item()


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm"])
def test_a_slice_is_the_loss_beside_the_weights(name):
    model, loss, batches, everything = problem(name)
    values, vectors = torch.linalg.eigh(dense_hessian(model, loss, everything))
    params = [*model.parameters()]
    theta = torch.cat([p.detach().flatten() for p in params])
    parts = [[p.detach().clone() for p in params], *(in_shapes(vectors[:, k], params) for k in (-1, -2))]
    grid = around(0.02, 9, 2)
    found = combined_losses(model, loss, batches, params, parts, [(1, x, y) for x, y in grid.points])
    wanted = [loss_at(model, loss, everything, theta + x * vectors[:, -1] + y * vectors[:, -2]) for x, y in grid.points]
    assert found == pytest.approx(wanted, rel=1e-10)
    assert torch.equal(torch.cat([p.flatten() for p in params]), theta)
    if name != "cnn":  # which has kinks
        assert second_difference(found[36:45], 0.005) == pytest.approx(values[-1].item(), rel=1e-5)
        assert second_difference(found[4::9], 0.005) == pytest.approx(values[-2].item(), rel=1e-5)


def test_the_model_is_left_as_it_was_when_a_loss_cannot_be_computed():
    model, _, batches, _ = problem("cnn")
    before = [tensor.detach().clone() for tensor in weights_of(model)]

    def broken(model, batch):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        combined_losses(model, broken, batches, weights_of(model), [before], [(2.0,)])
    assert all(map(torch.equal, before, weights_of(model)))


def test_a_second_difference_is_exact_for_polynomials_of_degree_five():
    polynomial = np.polynomial.Polynomial([3.0, -1.0, 4.0, 1.0, -5.0, 9.0])
    places = 0.5 * np.arange(-4, 5)
    assert second_difference(polynomial(places).tolist(), 0.5) == pytest.approx(polynomial.deriv(2)(0.0))


def test_both_solutions_are_on_the_line_exactly():
    for points in (5, 9, 41):
        t = along(points).x.tolist()
        assert (len(t), t[0], t[-1]) == (points, -0.5, 1.5)
        assert {0.0, 1.0} <= {*t}


def test_heights_are_over_the_chord_and_between_its_ends():
    t = along(9).x.tolist()
    heights = heights_over_chord(t, [10 + 2 * place - place**2 for place in t])
    assert heights == pytest.approx([place - place**2 for place in (0, 0.25, 0.5, 0.75, 1)])


def test_a_triangle_is_that_of_the_weights():
    torch.manual_seed(0)
    a, b, c = ([torch.randn(7, 3), torch.randn(4)] for _ in range(3))
    triangle = Triangle.of(a, b, c)
    x, y = triangle.corners
    for i, j, sides in ((0, 1, (a, b)), (0, 2, (a, c)), (1, 2, (b, c))):
        assert math.dist((x[i], y[i]), (x[j], y[j])) == pytest.approx(distance(*sides))
    shares = [triangle.shares(*corner) for corner in zip(x, y, strict=True)]
    assert np.array(shares) == pytest.approx(np.eye(3), abs=1e-12)
    grid = triangle.grid(5)
    assert grid.x[0] < min(x) < max(x) < grid.x[-1]
    assert grid.y[0] < min(y) < max(y) < grid.y[-1]


@pytest.mark.parametrize(
    ("second", "third", "reason"),
    [(1.0, 2.5, "one line"), (0.0, 1.0, "one line"), (math.nan, 1.0, "no finite numbers")],
)
def test_what_is_no_triangle_is_refused(second, third, reason):
    direction = torch.randn(20)
    with pytest.raises(ValueError, match=reason):
        Triangle.of([0 * direction], [second * direction], [third * direction])


def test_statistics_are_those_that_torch_measures_and_nothing_else_changes():
    torch.manual_seed(0)
    model = cnn().eval()
    batches = [((torch.randn(10, 1, 8, 8, dtype=F64), torch.randint(3, (10,))), 0.5) for _ in range(2)]
    wanted, before = copy.deepcopy(model), copy.deepcopy(model)
    torch.optim.swa_utils.update_bn([batch[0] for batch, _ in batches], wanted)
    measure_statistics(model, cross_entropy, batches)
    for name, buffer in model.named_buffers():
        if name.endswith("tracked"):
            assert buffer == before.get_buffer(name)
        else:
            assert not torch.allclose(buffer, before.get_buffer(name))
            assert torch.allclose(buffer, wanted.get_buffer(name))
    assert not any(module.training for module in model.modules())
    assert model[1].momentum == before[1].momentum


class Images:
    """A task of 40 images."""

    dim = 0

    def __init__(self):
        self.images, self.targets = torch.randn(40, 1, 8, 8, dtype=F64), torch.randint(3, (40,))

    def batches(self, batch_size, generator, augment):
        yield Batch(self.images, self.targets, 40)

    def loss(self, model, batch, carry):
        return torch.nn.functional.cross_entropy(model(batch.inputs), batch.targets), None


def test_between_solutions_batch_normalisation_has_the_statistics_of_its_own_activations():
    torch.manual_seed(1)
    task, ends = Images(), (cnn().eval(), cnn().eval())
    model = copy.deepcopy(ends[0])
    settings = SharpnessSettings(of="run", metric="barrier", to=("other",), points=5)
    found = barrier(Problem(model, task, 40, lambda: None, [weights_of(ends[1])]), settings)
    wanted = []
    for t in (-0.5, 0, 0.5, 1, 1.5):
        between = copy.deepcopy(model)
        with torch.no_grad():
            for p, a, b in zip(between.parameters(), ends[0].parameters(), ends[1].parameters(), strict=True):
                p.copy_((1 - t) * a + t * b)
        torch.optim.swa_utils.update_bn([task.images], between)
        wanted.append(torch.nn.functional.cross_entropy(between.eval()(task.images), task.targets).item())
    assert found.curves["loss"] == pytest.approx(wanted)
    assert found.metrics["barrier"] == pytest.approx(max(0, wanted[2] - (wanted[1] + wanted[3]) / 2))
    assert all(map(torch.equal, weights_of(model), weights_of(ends[0])))
