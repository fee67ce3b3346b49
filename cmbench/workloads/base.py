"""What the trainer asks of a workload: the whole contract on one page."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from cmbench.workloads.download import Report, silent
from cmbench.workloads.fingerprints import fingerprint_of
from cmbench.workloads.metrics import WHOLE, AllReduce, Evaluation, Metric, Shard
from cmbench.workloads.options import Option, Value

Reduction = Literal["mean", "sum"]


class Batch(NamedTuple):
    """What one process computes on at once: `inputs`, `targets`, and how many targets all processes have together."""

    inputs: Tensor
    targets: Tensor
    whole: int

    def split(self, parts: int, dim: int) -> list[Batch]:
        """The batch in so many smaller ones, cut along `dim`."""
        if parts == 1:
            return [self]
        pairs = zip(self.inputs.tensor_split(parts, dim), self.targets.tensor_split(parts, dim), strict=True)
        return [Batch(inputs, targets, self.whole) for inputs, targets in pairs]


@dataclass(frozen=True)
class Card:
    """What a person wants to know of a workload before training on it.

    `parameters` counts the model's, `examples` those trained and validated on (of text: tokens); None where they depend
    on what is found.
    """

    data: str
    source: str
    model: str
    parameters: int | None
    examples: tuple[int, int] | None = None


class Task(ABC):
    """What a model is trained on at a time: batches, their loss, and what it is judged by.

    `dim` is the dimension of a batch's tensors that counts independent examples.
    """

    metric: Metric
    dim = 0

    @abstractmethod
    def steps_per_epoch(self, batch_size: int) -> int:
        """Number of batches that `batches` yields from the start."""

    @abstractmethod
    def smallest_batch(self, batch_size: int) -> int:
        """Number of independent examples in the smallest batch of an epoch."""

    @abstractmethod
    def batches(
        self, batch_size: int, order: torch.Generator, start: int = 0, shard: Shard = WHOLE, augment: bool = True
    ) -> Iterator[Batch]:
        """The batches of one epoch in the order that `order` gives, from batch number `start` on.

        `batch_size` counts the examples of all processes, of which this one gets its `shard`. The random changes that
        some workloads make to their training examples are left out unless `augment`.
        """

    @abstractmethod
    def valid_batches(self, shard: Shard = WHOLE) -> Iterator[Batch]:
        """This process's shard of the validation set, in order."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch, carry: Any) -> tuple[Tensor, Any]:
        """What the model says of a batch, and what that leaves to the next one.

        `carry` is what the batch before left (None at the start of an epoch).
        """

    @abstractmethod
    def criterion(self, outputs: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
        """The mean, or the sum, of the losses of what `predict` gives."""

    def loss(self, model: nn.Module, batch: Batch, carry: Any) -> tuple[Tensor, Any]:
        """Mean loss over a batch, and what it leaves."""
        outputs, carry = self.predict(model, batch, carry)
        return self.criterion(outputs, batch.targets, "mean"), carry

    @torch.no_grad()
    def evaluate(self, model: nn.Module, shard: Shard = WHOLE, all_reduce: AllReduce = lambda sums: sums) -> Evaluation:
        """Loss and metric on the validation set, in evaluation mode and without gradients.

        `all_reduce` adds up what the processes, each with its `shard`, have found.
        """
        model.eval()
        tally, count, carry = self.metric.tally(), 0, None
        for batch in self.valid_batches(shard):
            outputs, carry = self.predict(model, batch, carry)
            tally.update(outputs, batch.targets, self.criterion(outputs, batch.targets, "sum"))
            count += batch.whole
        model.train()
        return tally.evaluation(count, shard, all_reduce)


class Workload(ABC):
    """A data set with its model and metric, as one task or as a stream of them. Nothing is loaded before `load`.

    `data_dir` is where data is looked for that does not come with cmbench, instead of the customary places. `version`
    counts the changes to what is computed: to the model, its initial weights, the batches, the loss or the metric.
    `options` declares what a suite may choose, `chosen` is what it has chosen of them, defaults included.
    """

    metric: Metric
    card: Card
    version: int
    source: str = ""
    """What stands for the code of a workload that is not registered here."""
    options: ClassVar[Mapping[str, Option]] = MappingProxyType({})
    published: bool = True
    """Whether the files that were read have the published sums, as far as such are known; there once it is loaded."""
    _loaded_on: torch.device | None = None

    def __init__(self, data_dir: Path | None = None, chosen: Mapping[str, Value] = MappingProxyType({})) -> None:
        self.data_dir = data_dir
        self.chosen = {name: option.default for name, option in self.options.items()} | dict(chosen)

    @property
    @abstractmethod
    def tasks(self) -> Sequence[Task]:
        """What the one model is trained on, one after the other; there once the workload is loaded."""

    def tasks_of_run(self, order: torch.Generator) -> Sequence[Task]:
        """`tasks` in the order in which a run meets them, which `order` gives where it is random."""
        return self.tasks

    def is_here(self) -> bool:
        """Whether the files of the data are on this machine; what is in them `load` finds out."""
        return True

    def prepare(self, report: Report = silent) -> None:
        """Downloads the data to where `load` finds it; nothing to do where it comes with cmbench.

        `report` hears how that goes on, where cmbench itself downloads; torchvision and `datasets` show it themselves.
        """
        return

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of the data and of how it is split."""

    def data_files(self) -> Sequence[Path]:
        """The files that `fingerprint` is made of, where reading them takes long: as long as they are the same, it is.

        A folder stands for the names in it. None of them where the data is not here.
        """
        return ()

    def identity(self) -> str:
        """What enters the identity of every run on it, `FINGERPRINT.vVERSION`, after its source if it has one."""
        own = f"{fingerprint_of(self)}.v{self.version}"
        return f"{self.source}.{own}" if self.source else own

    @abstractmethod
    def load(self, device: torch.device) -> None:
        """Puts the data on `device`."""

    def subset(self) -> Mapping[str, tuple[int, int]]:
        """Of what there are fewer than published (or more), and how many are; there once it is loaded.

        By `train`, `validation` and `classes`. Where data of another size is refused, there is nothing to say.
        """
        return {}

    def load_once(self, device: torch.device) -> None:
        """`load`, unless the data is on `device` already."""
        if self._loaded_on != device:
            self.load(device)
            self._loaded_on = device

    @abstractmethod
    def model(self) -> nn.Module:
        """A freshly initialised model (on the CPU, from torch's global generator)."""


class SingleTask(Workload, Task):
    """A workload that is its own only task."""

    @property
    def tasks(self) -> Sequence[Task]:
        return (self,)


def digest(*parts: bytes) -> str:
    """Sixteen hexadecimal digits that stand for `parts`."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()[:16]
