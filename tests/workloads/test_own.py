"""The workloads of a user's own that the documentation shows train and evaluate."""

import importlib.util
import pickle
import sys

import pytest
import torch

from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.training.trainer import train
from cmbench.workloads.base import Workload
from tests.docs.pages import blocks

FILES = {block.title: block.text for block in blocks("docs/extend.md") if block.title}


@pytest.mark.parametrize(("file", "name", "least"), [("iris.py", "iris", 90), ("mine.py", "Mine", 90)])
def test_a_file_of_the_documentation_is_a_workload(file, name, least, tmp_path, monkeypatch):
    (tmp_path / file).write_text(FILES[file])
    spec = importlib.util.spec_from_file_location("own", tmp_path / file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own", module)
    spec.loader.exec_module(module)
    found = getattr(module, name)
    workload = found if isinstance(found, Workload) else found(tmp_path, {})
    workload = pickle.loads(pickle.dumps(workload))
    workload.load(torch.device("cpu"))
    planned = plan_training(load_suite("wine", kind="train", opts=["adam_cm"]), workload.identity(), [0])[0]
    measured = train(planned, workload, torch.device("cpu"), lambda suffix: tmp_path / f"run{suffix}")
    assert measured.status == "completed"
    assert measured.metrics["val_accuracy_best"] > least
    parameters = sum(weights.numel() for weights in workload.model().parameters())
    assert workload.card.parameters in (None, parameters)


def test_the_files_are_short():
    assert len(FILES["iris.py"].splitlines()) < 17
    assert len(FILES["mine.py"].splitlines()) <= 30
