"""The suites whose data is not on every machine start on miniatures of it in its true format."""

import math

import pytest
import torch

from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.training.trainer import train
from cmbench.workloads import cifar
from cmbench.workloads.registry import get_workload

from . import miniatures

COUNTS = (5,) * 10


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    miniatures.streams(folder, COUNTS, images=400)
    miniatures.cifar(folder, "cifar100", 400)
    return folder


@pytest.fixture
def small(monkeypatch):
    """The readers accept the miniatures."""
    miniatures.accept_streams(monkeypatch, COUNTS, images=400)
    monkeypatch.setattr(cifar.CIFAR100, "count", 400)
    monkeypatch.setattr(cifar, "VALID", 100)


@pytest.mark.parametrize(
    "suite",
    [
        "cifar100",
        *(
            pytest.param(suite, marks=pytest.mark.long)
            for suite in (
                *("cifar10", "cifar10_sgd", "cifar100_sgd", "tinyimagenet_online", "five_datasets_online"),
                *("figure8", "figure9_cifar10", "figure9_cifar100", "figure19_cifar10", "figure19_cifar100", "table14"),
                "figure10_cifar10_b32",
            )
        ),
    ],
)
def test_its_last_optimizer_makes_steps_and_is_evaluated(suite, files, small, tmp_path):
    resolved = load_suite(suite, kind="train", sets=["max_steps=2", "batch_size=8"])
    workload = get_workload(resolved.settings.workload, data_dir=files, options=resolved.settings.options)
    workload.load(torch.device("cpu"))
    spec = plan_training(resolved, workload.identity(), [0])[-1]
    measured = train(spec, workload, torch.device("cpu"), lambda suffix: tmp_path / f"run{suffix}")
    assert (measured.status, measured.cost.steps) == ("completed", 2)
    assert measured.metrics["distance"] > 0
    assert math.isfinite(measured.curves["train_loss"][0])
    assert 0 <= measured.curves["val_accuracy"][0] <= 100
