"""What is trained: data set, model, loss and metric, one module per workload."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmbench.workloads.base import Batch, Card, SingleTask, Task, Workload, digest
    from cmbench.workloads.examples import Classification, TensorClassification, TensorTask
    from cmbench.workloads.hub import from_datasets
    from cmbench.workloads.metrics import ACCURACY, AUC, F1, PERPLEXITY, R2, RMSE, Metric
    from cmbench.workloads.options import Option
    from cmbench.workloads.tensors import TensorWorkload

_NAMES = {
    "base": ("Batch", "Card", "SingleTask", "Task", "Workload", "digest"),
    "examples": ("Classification", "TensorClassification", "TensorTask"),
    "hub": ("from_datasets",),
    "metrics": ("ACCURACY", "AUC", "F1", "PERPLEXITY", "R2", "RMSE", "Metric"),
    "options": ("Option",),
    "tensors": ("TensorWorkload",),
}
"""What is imported when it is asked for, by module: a list of workloads needs none of it."""
__all__ = [
    "ACCURACY",
    "AUC",
    "F1",
    "PERPLEXITY",
    "R2",
    "RMSE",
    "Batch",
    "Card",
    "Classification",
    "Metric",
    "Option",
    "SingleTask",
    "Task",
    "TensorClassification",
    "TensorTask",
    "TensorWorkload",
    "Workload",
    "digest",
    "from_datasets",
]


def __getattr__(name: str) -> Any:
    module = next((module for module, names in _NAMES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
