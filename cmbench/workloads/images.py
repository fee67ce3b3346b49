"""Image classification: the loss of any of it, and data sets that live on the device as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmbench.workloads.augmentation import Augmentation
from cmbench.workloads.base import ACCURACY, WHOLE, Batch, Shard, Task

VALID_BATCH = 1000
SPLIT_SEED = 0


def stratified_split(labels: np.ndarray, valid: int | float) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the training and of the `valid` validation images, the same for every seed of a run."""
    from sklearn.model_selection import train_test_split

    return tuple(train_test_split(np.arange(len(labels)), test_size=valid, stratify=labels, random_state=SPLIT_SEED))


def standardised(images: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Bytes (B, C, H, W) on the scale of 0 to 1, less each channel's `mean` and divided by its `deviation`."""
    slope, offset = _scale(tuple(mean), tuple(deviation), images.device)
    return images * slope - offset


@cache
def _scale(mean: tuple[float, ...], deviation: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """1 / (255 · deviation) and mean / deviation, kept there: a copy per batch would make the host wait."""
    shift, scale = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (mean, deviation))
    return (1 / (255 * scale)).float().to(device), (shift / scale).float().to(device)


class Classification(Task):
    """Batches of images (B, C, H, W) with their classes (B,), and the cross-entropy."""

    metric = ACCURACY

    @property
    @abstractmethod
    def examples(self) -> int:
        """Number of training images."""

    def steps_per_epoch(self, batch_size: int) -> int:
        return -(-self.examples // batch_size)

    def smallest_batch(self, batch_size: int) -> int:
        return self.examples % batch_size or batch_size

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """What the model says of the images, (B, classes)."""
        logits: Tensor = model(images)
        return logits

    def loss(self, model: nn.Module, batch: Batch, carry: None) -> tuple[Tensor, None]:
        return F.cross_entropy(self.logits(model, batch.inputs), batch.targets), None

    def score(self, model: nn.Module, batch: Batch, carry: None) -> tuple[Tensor, None]:
        logits = self.logits(model, batch.inputs)
        loss = F.cross_entropy(logits, batch.targets, reduction="sum")
        return torch.stack([loss.float(), (logits.argmax(1) == batch.targets).sum().float()]), None


class ImageClassification(Classification):
    """Images (N, C, H, W) and labels (N,), in one tensor each per split; a subclass loads them and names the model."""

    train_images: Tensor
    train_labels: Tensor
    valid_images: Tensor
    valid_labels: Tensor
    valid_batch = VALID_BATCH

    def inputs(self, images: Tensor) -> Tensor:
        """What the model is given for `images` as they are kept."""
        return images

    def augmentation(self, count: int, order: torch.Generator) -> Augmentation | None:
        """How an epoch of `count` training images is changed at random; None where it is not."""
        return None

    @property
    def examples(self) -> int:
        return len(self.train_labels)

    def batches(
        self, batch_size: int, order: torch.Generator, start: int = 0, shard: Shard = WHOLE, augment: bool = True
    ) -> Iterator[Batch]:
        count, device = self.examples, self.train_labels.device
        permutation = torch.randperm(count, generator=order).to(device)
        # All of the epoch's chances are drawn at once, so that an epoch taken up in the middle has the same.
        change = self.augmentation(count, order) if augment else None
        places = torch.arange(count, device=device)
        for first in range(start * batch_size, count, batch_size):
            last = min(first + batch_size, count)
            chosen = shard.of(permutation[first:last])
            images = self.train_images[chosen]
            if change is not None:
                images = change(images, shard.of(places[first:last]))
            yield Batch(self.inputs(images), self.train_labels[chosen], last - first)

    def valid_batches(self, shard: Shard = WHOLE) -> Iterator[Batch]:
        parts = (torch.split(part, self.valid_batch) for part in (self.valid_images, self.valid_labels))
        for images, labels in zip(*parts, strict=True):
            yield Batch(self.inputs(shard.of(images)), shard.of(labels), len(labels))
