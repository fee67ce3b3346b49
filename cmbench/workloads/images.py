"""Image classification on tensors that live on the device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmbench.workloads.base import ACCURACY, Evaluation, Workload


class ImageClassification(Workload):
    """Images (N, C, H, W) and labels (N,), in one tensor each per split; a subclass loads them and names the model."""

    metric = ACCURACY
    train_images: Tensor
    train_labels: Tensor
    valid_images: Tensor
    valid_labels: Tensor

    def inputs(self, images: Tensor) -> Tensor:
        """What the model is given for `images` as they are kept."""
        return images

    def steps_per_epoch(self, batch_size: int) -> int:
        return -(-len(self.train_labels) // batch_size)

    def batches(self, batch_size: int, order: torch.Generator, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        permutation = torch.randperm(len(self.train_labels), generator=order).to(self.train_labels.device)
        for chosen in permutation.split(batch_size)[start:]:
            yield self.inputs(self.train_images[chosen]), self.train_labels[chosen]

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor], carry: None) -> tuple[Tensor, None]:
        images, labels = batch
        return F.cross_entropy(model(images), labels), None

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> Evaluation:
        model.eval()
        loss = correct = torch.zeros((), device=self.valid_labels.device)
        for images, labels in zip(self.valid_images.split(1000), self.valid_labels.split(1000), strict=True):
            logits = model(self.inputs(images))
            loss = loss + F.cross_entropy(logits, labels, reduction="sum")
            correct = correct + (logits.argmax(1) == labels).sum()
        model.train()
        total = len(self.valid_labels)
        return Evaluation((loss / total).item(), 100 * correct.item() / total)
