"""A workload that computes something else has another version: its runs are not mistaken for those before."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.experiments.plan import plan_training
from cmbench.experiments.seeding import generator
from cmbench.experiments.suite import load_suite
from cmbench.workloads import cifar, fashion_mnist, ptb, pydoc
from cmbench.workloads.base import digest
from cmbench.workloads.digits import Digits
from cmbench.workloads.metrics import WHOLE
from cmbench.workloads.registry import WORKLOADS, get_workload

from . import miniatures

FILE = Path(__file__).with_name("versions.json")
RECORDED = json.loads(FILE.read_text())
COUNTS = (5,) * 10
TOPICS = {f"topic{i}": "a b c , the same again , d e f . " * (i + 2) for i in range(10)}
SENTENCES = {"train": " the <unk> sat \n on the mat \n" * 40, "valid": " the mat sat \n" * 20, "test": " a test \n"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    miniatures.streams(folder, COUNTS, images=400)
    miniatures.cifar(folder, "cifar100", 400)
    miniatures.photographs(folder)
    for name, text in SENTENCES.items():
        (folder / f"ptb.{name}.txt").write_text(text)
    return folder


@pytest.fixture
def small(monkeypatch):
    """The readers accept the miniatures, and the text of pydoc is the same under every Python."""
    miniatures.accept_streams(monkeypatch, COUNTS, images=400)
    monkeypatch.setattr(cifar.CIFAR100, "count", 400)
    monkeypatch.setattr(cifar, "VALID", 100)
    monkeypatch.setattr(fashion_mnist, "VALID", 10)
    monkeypatch.setattr(pydoc, "_topics", lambda: TOPICS)
    monkeypatch.setattr(ptb, "TOKENS", {"train": 320, "validation": 80, "test": 3})
    monkeypatch.setattr(ptb, "VOCABULARY", 6)


def value_of(metric):
    """What a metric is for a mean loss of 1/2 and one hit in four."""
    tally = metric.tally()
    tally.update(torch.eye(4), torch.zeros(4, dtype=torch.long), torch.tensor(2.0))
    return tally.evaluation(4, WHOLE, lambda sums: sums).metric


def summary(tensor):
    """Two means over a tensor that tell its size and its order, and do not come near zero."""
    values = tensor.detach().double().flatten()
    mean = values.abs().mean().item()
    return [mean, (values - mean * torch.arange(len(values)).double().cos()).abs().mean().item()]


def computed(workload):
    """What a workload computes, in few numbers: its initial weights, its first batches, and the model's loss there."""
    workload.load(torch.device("cpu"))
    torch.manual_seed(0)
    model = workload.model().eval()
    weights = torch.cat([parameter.flatten() for parameter in model.parameters()])
    task = workload.tasks_of_run(generator(0, "tasks"))[-1]
    batch, check = next(task.batches(4, generator(0, "order", 0))), next(iter(task.valid_batches()))
    with torch.no_grad():
        loss, outputs = task.loss(model, batch, None)[0], task.predict(model, check, None)[0]
        summed = task.criterion(outputs, check.targets, "sum").item()
    shapes = [f"{name} {tuple(parameter.shape)}" for name, parameter in model.named_parameters()]
    return {
        "shapes": digest(*(shape.encode() for shape in shapes)),
        "tasks": len(workload.tasks),
        "steps": task.steps_per_epoch(4),
        "targets": batch.targets.flatten().tolist()[:12],
        "metric": [value_of(task.metric)],
        "weights": summary(weights) + weights[:: len(weights) // 5].tolist(),
        "inputs": summary(batch.inputs),
        "validation": summary(check.inputs),
        "loss": [loss.item(), summed / check.whole],
    }


def rounded(values):
    return {
        name: [float(f"{v:.7g}") for v in value] if isinstance(value, list) else value for name, value in values.items()
    }


def is_the_same(new, old):
    """Numbers are equal as far as processors agree on them, everything else entirely."""
    numbers = {name for name, value in old.items() if isinstance(value, list) and name != "targets"}
    return new.keys() == old.keys() and all(
        new[name] == pytest.approx(old[name], rel=1e-4) if name in numbers else new[name] == old[name] for name in old
    )


def cases():
    """Every workload by its name, and with its options away from their defaults: half of an open number."""
    for name in WORKLOADS:
        yield name, {}
        unusual = {
            option: int(choice.default) // 2 if choice.also else choice.values[-1]
            for option, choice in get_workload(name).options.items()
            if not (choice.also and isinstance(choice.default, str))
        }
        if unusual:
            yield f"{name} {' '.join(f'{option}={value}' for option, value in unusual.items())}", unusual


@pytest.mark.parametrize(("name", "options"), list(cases()))
def test_what_it_computes_is_that_of_its_version(name, options, files, small):
    workload = get_workload(name.split()[0], data_dir=files, options=options)
    new, old = {"version": workload.version} | computed(workload), RECORDED.get(name)
    line = f'"{name}": {json.dumps(rounded(new))}'
    assert old is not None, f"a new workload: add to {FILE.name}\n{line}"
    if is_the_same(new | {"version": old["version"]}, old):
        assert new["version"] == old["version"], f"{name} computes what it did: its version stays {old['version']}"
    else:
        assert new["version"] > old["version"], f"{name} computes something else: raise its version"
        pytest.fail(f"{name} has a new version: put into {FILE.name}\n{line}")


def test_another_model_is_noticed(monkeypatch, small):
    monkeypatch.setattr(Digits, "model", lambda self: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    new = {"version": Digits.version} | computed(get_workload("digits"))
    assert not is_the_same(new, RECORDED["digits"])


@pytest.mark.parametrize("change", ["weights", "inputs", "loss", "targets"])
def test_a_change_in_any_number_is_noticed(change):
    old = RECORDED["digits"]
    moved = np.roll(old[change], 1).tolist() if change == "targets" else [old[change][0] * 1.001, *old[change][1:]]
    assert is_the_same(old, old)
    assert not is_the_same(old | {change: moved}, old)


def test_a_new_version_gives_other_runs(monkeypatch):
    suite = load_suite("digits", kind="train")
    before = plan_training(suite, get_workload("digits").identity(), [0])
    monkeypatch.setattr(Digits, "version", Digits.version + 1)
    after = plan_training(suite, get_workload("digits").identity(), [0])
    assert {spec.id for spec in before}.isdisjoint(spec.id for spec in after)
