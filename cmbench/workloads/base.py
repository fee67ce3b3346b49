"""What the trainer asks of a workload: the whole contract on one page."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Metric:
    """What a workload is judged by on its validation set, and whether more of it is better."""

    name: str
    higher_is_better: bool

    def better(self, new: float, old: float) -> bool:
        """Whether `new` is strictly better than `old`; NaN never is."""
        return new > old if self.higher_is_better else new < old


ACCURACY = Metric("accuracy", True)
"""Percent of examples classified correctly."""

PERPLEXITY = Metric("perplexity", False)
"""exp of the mean cross-entropy per token."""


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and metric over the whole validation set."""

    loss: float
    metric: float


@dataclass(frozen=True)
class Card:
    """What a person wants to know of a workload before training on it.

    `parameters` counts the model's; None where they depend on the data.
    """

    data: str
    source: str
    model: str
    parameters: int | None


class Workload(ABC):
    """A data set with its model, loss and metric. Nothing is loaded before `load`.

    `data_dir` is where data is looked for that does not come with cmbench, instead of the customary places.
    """

    metric: Metric
    card: Card

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir

    def is_here(self) -> bool:
        """Whether the files of the data are on this machine; what is in them `load` finds out."""
        return True

    def prepare(self) -> None:
        """Downloads the data to where `load` finds it; nothing to do where it comes with cmbench."""
        return

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of the data and of how it is split: part of the identity of every run on it."""

    @abstractmethod
    def load(self, device: torch.device) -> None:
        """Puts the data on `device`."""

    @abstractmethod
    def model(self) -> nn.Module:
        """A freshly initialised model (on the CPU, from torch's global generator)."""

    @abstractmethod
    def steps_per_epoch(self, batch_size: int) -> int:
        """Number of batches that `batches` yields from the start."""

    @abstractmethod
    def batches(self, batch_size: int, order: torch.Generator, start: int = 0) -> Iterator[Any]:
        """The batches of one epoch in the order that `order` gives, from batch number `start` on."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any, carry: Any) -> tuple[Tensor, Any]:
        """Mean loss over a batch. `carry` is what the batch before left (None at the start of an epoch)."""

    @abstractmethod
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Loss and metric on the validation set, in evaluation mode and without gradients."""


def digest(*parts: bytes) -> str:
    """Sixteen hexadecimal digits that stand for `parts`."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()[:16]
