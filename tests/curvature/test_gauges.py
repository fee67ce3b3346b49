"""Sharpness as telemetry: curves of a training that are called like the metrics of a measurement."""

import pytest
import torch

from cmbench.curvature.gauges import sharpness_gauges
from cmbench.curvature.problem import evaluation_batches
from cmbench.experiments.execute import execute, in_turn
from cmbench.experiments.plan import plan_training
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import load_suite
from cmbench.training.trainer import train
from cmbench.workloads.registry import get_workload


def test_the_top_eigenvalue_of_an_epoch_is_that_of_power_iteration_at_its_weights(tmp_path):
    sets = ["epochs=1", "schedule=constant", "telemetry.sharpness_every=1", "telemetry.sharpness_examples=60"]
    suite = load_suite("digits", kind="train", opts=["adam"], sets=sets)
    (spec,) = plan_training(suite, "data", [0])
    digits, store = get_workload("digits"), ResultStore(tmp_path)
    digits.load(torch.device("cpu"))
    run = lambda specs: [  # noqa: E731
        train(spec, digits, torch.device("cpu"), lambda suffix: store.path(spec, suffix), gauges=sharpness_gauges)
    ]
    (result,) = execute([spec], store, in_turn(run)).results
    assert {"top_eigenvalue", "m_sharpness"} < set(result.curves)
    assert spec.is_finished_by(result)

    model = digits.model()
    model.load_state_dict(torch.load(store.path(spec, ".pt"), weights_only=True)["model"])
    model.double()
    ((batch, _),) = evaluation_batches(digits, 60, 60)
    batch = batch._replace(inputs=batch.inputs.double())
    origin = torch.nn.utils.parameters_to_vector(model.parameters()).detach()

    def gradient(at):
        torch.nn.utils.vector_to_parameters(at, model.parameters())
        loss, _ = digits.loss(model, batch, None)
        return torch.nn.utils.parameters_to_vector(torch.autograd.grad(loss, list(model.parameters())))

    vector = torch.randn(len(origin), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for _ in range(150):
        vector = vector / vector.norm()
        product = (gradient(origin + 1e-6 * vector) - gradient(origin - 1e-6 * vector)) / 2e-6
        value, vector = (vector @ product).item(), product
    assert result.curves["top_eigenvalue"] == [pytest.approx(value, rel=0.01)]
