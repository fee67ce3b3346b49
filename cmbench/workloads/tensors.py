"""A workload from tensors: two pairs of inputs and targets, a model, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmbench.errors import UserError, unknown
from cmbench.workloads.base import Card, Reduction, SingleTask, digest
from cmbench.workloads.examples import TensorTask
from cmbench.workloads.metrics import ACCURACY, AUC, F1, R2, RMSE, Metric

Pair = tuple[Tensor, Tensor]
Loss = Callable[..., Tensor]
"""`loss(outputs, targets, reduction="mean" or "sum")`, as those of `torch.nn.functional`."""


def squared_error(outputs: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
    """(ŷ − y)², of outputs (B,) or (B, 1) where the targets are (B,)."""
    return F.mse_loss(outputs.view_as(targets), targets, reduction=reduction)


def binary_cross_entropy(outputs: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
    """Of logits (B,) or (B, 1) and classes 0 and 1 (B,)."""
    return F.binary_cross_entropy_with_logits(outputs.view_as(targets), targets.to(outputs.dtype), reduction=reduction)


METRICS: dict[str, tuple[Metric, Loss]] = {
    "accuracy": (ACCURACY, F.cross_entropy),
    "f1": (F1, F.cross_entropy),
    "auc": (AUC, binary_cross_entropy),
    "r2": (R2, squared_error),
    "rmse": (RMSE, squared_error),
}
"""What a metric can be called, and the loss that goes with it."""


class TensorWorkload(TensorTask, SingleTask):
    """Images, rows of a table or anything else that fits into memory, with its model.

    Args:
        train: inputs (N, …) and targets (N, …) to train on; classes are integers.
        valid: the same to validate on.
        model: a function that makes the model, with its weights from torch's global generator. For `--jobs` it must be
            one that `pickle` knows: at the top of a module.
        metric: `"accuracy"`, `"f1"` (macro), `"auc"`, `"r2"`, `"rmse"`, or a `Metric`.
        loss: `loss(outputs, targets, reduction=)`; by default the metric's: cross-entropy of logits (B, classes) for
            `accuracy` and `f1`, binary cross-entropy of one logit for `auc`, the squared error for `r2` and `rmse`.
        version: raise it when the model or the loss change, so that earlier runs are not taken for theirs.
        description: what the data is, in a few words.

    Raises `UserError` for an unknown metric, one without a loss, and tensors that do not fit each other.
    """

    def __init__(
        self,
        train: Pair,
        valid: Pair,
        model: Callable[[], nn.Module],
        metric: Metric | str,
        *,
        loss: Loss | None = None,
        version: int = 1,
        description: str = "",
    ) -> None:
        super().__init__()
        if isinstance(metric, str):
            if metric not in METRICS:
                raise unknown("metric", metric, METRICS, "TensorWorkload")
            self.metric, usual = METRICS[metric]
            loss = loss or usual
        else:
            self.metric = metric
        if loss is None:
            raise UserError(f"TensorWorkload: metric {self.metric.name}: accepted: with a loss=, as F.l1_loss")
        for part, (inputs, targets) in {"train": train, "valid": valid}.items():
            if len(inputs) != len(targets) or not len(targets):
                raise UserError(
                    f"TensorWorkload: {part}: {len(inputs)} inputs, {len(targets)} targets: accepted: as many of both"
                )
        self._pairs, self._model, self._loss, self.version = (train, valid), model, loss, version
        self.card = Card(
            data=description or f"{len(train[1]):,} + {len(valid[1]):,} examples {tuple(train[0].shape[1:])}",
            source="given as tensors",
            model=getattr(model, "__name__", "a model"),
            parameters=None,
            examples=(len(train[1]), len(valid[1])),
        )

    def fingerprint(self) -> str:
        """Of the tensors' content, and of the metric's name."""
        tensors = [tensor for pair in self._pairs for tensor in pair]
        marks = [f"{tensor.dtype} {tuple(tensor.shape)}".encode() for tensor in tensors]
        return digest(*marks, *map(_bytes, tensors), self.metric.name.encode())

    def load(self, device: torch.device) -> None:
        (self.train_inputs, self.train_targets), (self.valid_inputs, self.valid_targets) = (
            (inputs.to(device), targets.to(device)) for inputs, targets in self._pairs
        )

    def model(self) -> nn.Module:
        return self._model()

    def criterion(self, outputs: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
        return self._loss(outputs, targets, reduction=reduction)


def _bytes(tensor: Tensor) -> bytes:
    content: Any = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return bytes(content.tobytes())
