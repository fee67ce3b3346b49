"""The suites whose data is not on every machine start on miniatures of it in its true format."""

import dataclasses
import math

import pytest
import torch

from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.training.trainer import train
from cmbench.workloads import cifar
from cmbench.workloads.fashion_mnist import FashionMNIST
from cmbench.workloads.five_datasets import FiveDatasetsOnline
from cmbench.workloads.mnist import MNIST
from cmbench.workloads.notmnist import NotMNIST
from cmbench.workloads.registry import get_workload
from cmbench.workloads.svhn import SVHN
from cmbench.workloads.tinyimagenet import TinyImageNetOnline

from . import miniatures

COUNTS = (5,) * 10


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    miniatures.cifar(folder, "cifar10", 400)
    miniatures.cifar(folder, "cifar100", 400)
    for name in ("MNIST", "FashionMNIST"):
        miniatures.mnist(folder, name, COUNTS)
    miniatures.svhn(folder, COUNTS)
    miniatures.notmnist(folder, COUNTS)
    miniatures.tinyimagenet(folder, classes=20, train=4, valid=2)
    return folder


@pytest.fixture
def small(monkeypatch):
    """The readers accept the miniatures."""
    monkeypatch.setattr(cifar.CIFAR10, "count", 400)
    monkeypatch.setattr(cifar.CIFAR100, "count", 400)
    monkeypatch.setattr(cifar, "VALID", 100)
    for source in (MNIST, SVHN, NotMNIST, FashionMNIST):
        monkeypatch.setattr(source, "counts", COUNTS)
    parts = tuple(dataclasses.replace(part, valid=0.2) for part in FiveDatasetsOnline.parts)
    monkeypatch.setattr(FiveDatasetsOnline, "parts", parts)
    for name, count in (("classes", 20), ("train_count", 4), ("valid_count", 2)):
        monkeypatch.setattr(TinyImageNetOnline, name, count)


@pytest.mark.parametrize(
    "suite",
    [
        *("cifar10", "cifar100", "cifar10_sgd", "cifar100_sgd", "tinyimagenet_online", "five_datasets_online"),
        *("figure8", "figure9_cifar10", "figure9_cifar100", "figure19_cifar10", "figure19_cifar100", "table14"),
    ],
)
def test_its_last_optimizer_makes_steps_and_is_evaluated(suite, files, small, tmp_path):
    resolved = load_suite(suite, sets=["max_steps=2", "batch_size=8"])
    workload = get_workload(resolved.settings.workload, data_dir=files)
    workload.load(torch.device("cpu"))
    spec = plan_training(resolved, workload.fingerprint(), [0])[-1]
    measured = train(spec, workload, torch.device("cpu"), lambda suffix: tmp_path / f"run{suffix}")
    assert (measured.status, measured.cost.steps) == ("completed", 2)
    assert measured.metrics["distance"] > 0
    assert math.isfinite(measured.curves["train_loss"][0])
    assert 0 <= measured.curves["val_accuracy"][0] <= 100
