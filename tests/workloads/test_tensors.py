"""A workload of the user's from tensors: a table, or images, in a few lines."""

import pickle

import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from torch import nn
from torch.nn import functional as F

import cmbench
from cmbench.errors import UserError
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.training.trainer import train
from cmbench.workloads.metrics import R2, Metric
from cmbench.workloads.tensors import TensorWorkload

CPU = torch.device("cpu")


def two_layers():
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))


def diabetes(**options):
    x, y = (torch.tensor(part, dtype=torch.float32) for part in load_diabetes(return_X_y=True))
    x, y = x / x.std(0), y / 100
    return TensorWorkload((x[:350], y[:350]), (x[350:], y[350:]), two_layers, **{"metric": "r2"} | options)


def trained(workload, folder, *sets):
    """What becomes of it under the settings of the suite `wine`."""
    suite = load_suite("wine", kind="train", opts=["adam"], sets=["lr=3e-3", *sets])
    spec = plan_training(suite, workload.identity(), [0])[0]
    workload.load(CPU)
    return train(spec, workload, CPU, lambda suffix: folder / f"run{suffix}")


def test_diabetes_is_learnt_about_as_well_as_by_least_squares(tmp_path):
    workload = diabetes()
    measured = trained(workload, tmp_path, "epochs=20")
    line = LinearRegression().fit(workload.train_inputs, workload.train_targets)
    least_squares = line.score(workload.valid_inputs, workload.valid_targets)
    assert measured.judged_by.model_dump() == {"metric": "r2", "better": "higher"}
    assert measured.metrics["val_r2_best"] == max(measured.curves["val_r2"])
    assert measured.metrics["val_r2_best"] > least_squares - 0.1


def test_a_worker_process_gets_it_and_evaluates_the_same():
    workload = diabetes()
    sent = pickle.loads(pickle.dumps(workload))
    model = workload.model()
    for each in (workload, sent):
        each.load(CPU)
    assert sent.identity() == workload.identity()
    assert sent.evaluate(model) == workload.evaluate(model)


def test_its_fingerprint_is_that_of_its_content_and_its_metric():
    same, other = diabetes(), diabetes()
    other._pairs[1][1][3] += 1
    assert diabetes().fingerprint() == same.fingerprint() != other.fingerprint()
    assert diabetes(metric="rmse").fingerprint() != same.fingerprint()
    assert diabetes(version=2).identity() != same.identity()


@pytest.mark.parametrize(
    ("metric", "outputs", "by_hand"),
    [
        ("accuracy", 2, lambda out, y: -out.log_softmax(1)[torch.arange(len(y)), y].mean()),
        ("f1", 2, lambda out, y: -out.log_softmax(1)[torch.arange(len(y)), y].mean()),
        ("auc", 1, lambda out, y: -torch.where(y == 1, out[:, 0].sigmoid(), 1 - out[:, 0].sigmoid()).log().mean()),
        ("r2", 1, lambda out, y: ((out[:, 0] - y) ** 2).mean()),
        ("rmse", 1, lambda out, y: ((out[:, 0] - y) ** 2).mean()),
    ],
)
def test_the_loss_is_the_metrics(metric, outputs, by_hand):
    targets = torch.tensor([0, 1, 1, 0, 1])
    targets = targets.float() if metric in ("r2", "rmse") else targets
    workload = TensorWorkload(*[(torch.randn(5, 3), targets)] * 2, lambda: nn.Linear(3, outputs), metric)
    workload.load(CPU)
    model = workload.model()
    batch = next(workload.valid_batches())
    loss, _ = workload.loss(model, batch, None)
    torch.testing.assert_close(loss, by_hand(model(batch.inputs), batch.targets))
    assert workload.evaluate(model).loss == pytest.approx(loss.item(), rel=1e-5)


def test_another_loss_is_the_one_that_is_given():
    workload = diabetes(loss=lambda outputs, targets, reduction: F.l1_loss(outputs[:, 0], targets, reduction=reduction))
    workload.load(CPU)
    model = workload.model()
    with torch.no_grad():
        expected = (model(workload.valid_inputs)[:, 0] - workload.valid_targets).abs().mean().item()
    assert workload.evaluate(model).loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "r3"}, r"TensorWorkload: unknown metric 'r3': accepted: accuracy, f1"),
        ({"metric": Metric("mine", True, R2.tally)}, r"metric mine: accepted: with a loss="),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        diabetes(**change)


def test_inputs_without_targets_are_refused():
    x = torch.zeros(4, 10)
    with pytest.raises(UserError, match=r"valid: 4 inputs, 3 targets: accepted: as many of both"):
        TensorWorkload((x, x[:, 0]), (x, x[:3, 0]), two_layers, "r2")


def test_it_is_found_at_the_top_of_the_package():
    assert cmbench.TensorWorkload is TensorWorkload
