"""Independent examples: how many make an epoch, and tasks whose examples live on the device as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmbench.workloads.augmentation import Augmentation
from cmbench.workloads.base import Batch, Reduction, Task
from cmbench.workloads.metrics import ACCURACY, WHOLE, Shard

VALID_BATCH = 1000
SPLIT_SEED = 0


def stratified_split(labels: np.ndarray, valid: int | float) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the training and of the `valid` validation examples, the same for every seed of a run."""
    from sklearn.model_selection import train_test_split

    return tuple(train_test_split(np.arange(len(labels)), test_size=valid, stratify=labels, random_state=SPLIT_SEED))


class ExampleTask(Task):
    """Batches of examples (B, …) with their targets (B, …), in another order in every epoch."""

    @property
    @abstractmethod
    def examples(self) -> int:
        """Number of training examples."""

    def steps_per_epoch(self, batch_size: int) -> int:
        return -(-self.examples // batch_size)

    def smallest_batch(self, batch_size: int) -> int:
        return self.examples % batch_size or batch_size

    def predict(self, model: nn.Module, batch: Batch, carry: None) -> tuple[Tensor, None]:
        outputs: Tensor = model(batch.inputs)
        return outputs, None


class Classification(ExampleTask):
    """Examples with their classes (B,), of which the model says logits (B, classes): the cross-entropy."""

    metric = ACCURACY

    def criterion(self, outputs: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction=reduction)


class TensorTask(ExampleTask):
    """Inputs (N, …) and targets (N, …), in one tensor each per split; a subclass loads them and names the model."""

    train_inputs: Tensor
    train_targets: Tensor
    valid_inputs: Tensor
    valid_targets: Tensor
    valid_batch = VALID_BATCH

    def inputs(self, examples: Tensor) -> Tensor:
        """What the model is given for `examples` as they are kept."""
        return examples

    def augmentation(self, count: int, order: torch.Generator) -> Augmentation | None:
        """How an epoch of `count` training examples is changed at random; None where it is not."""
        return None

    @property
    def examples(self) -> int:
        return len(self.train_targets)

    def batches(
        self, batch_size: int, order: torch.Generator, start: int = 0, shard: Shard = WHOLE, augment: bool = True
    ) -> Iterator[Batch]:
        count, device = self.examples, self.train_targets.device
        permutation = torch.randperm(count, generator=order).to(device)
        # All of the epoch's chances are drawn at once, so that an epoch taken up in the middle has the same.
        change = self.augmentation(count, order) if augment else None
        places = torch.arange(count, device=device)
        for first in range(start * batch_size, count, batch_size):
            last = min(first + batch_size, count)
            chosen = shard.of(permutation[first:last])
            examples = self.train_inputs[chosen]
            if change is not None:
                examples = change(examples, shard.of(places[first:last]))
            yield Batch(self.inputs(examples), self.train_targets[chosen], self.train_targets[first:last].numel())

    def valid_batches(self, shard: Shard = WHOLE) -> Iterator[Batch]:
        parts = (torch.split(part, self.valid_batch) for part in (self.valid_inputs, self.valid_targets))
        for examples, targets in zip(*parts, strict=True):
            yield Batch(self.inputs(shard.of(examples)), shard.of(targets), targets.numel())


class TensorClassification(Classification, TensorTask):
    """Images or rows of a table with their classes (N,)."""
