"""scikit-learn's 1,797 handwritten digits of 8×8 pixels: real images that need no download."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

from cmbench.workloads.base import Card, SingleTask, digest
from cmbench.workloads.examples import SPLIT_SEED, TensorClassification, stratified_split


class Digits(TensorClassification, SingleTask):
    """A stratified split of 1,437 training and 360 validation images, the same for every seed of a run."""

    version = 1
    card = Card(
        data="scikit-learn's digits: 1,437 + 360 images of 8×8 pixels",
        source="comes with scikit-learn",
        model="two 3×3 convolutions, one pooling, a linear layer",
        parameters=9_930,
        examples=(1_437, 360),
    )

    def fingerprint(self) -> str:
        images, labels = load_digits(return_X_y=True)
        return digest(images.tobytes(), labels.tobytes(), f"stratified 80/20 {SPLIT_SEED}".encode())

    def load(self, device: torch.device) -> None:
        images, labels = load_digits(return_X_y=True)
        parts = stratified_split(labels, 0.2)
        self.train_inputs, self.valid_inputs = (
            # Pixels are 0 … 16.
            torch.tensor(images[part], dtype=torch.float32, device=device).view(-1, 1, 8, 8) / 8 - 1
            for part in parts
        )
        self.train_targets, self.valid_targets = (torch.tensor(labels[part], device=device) for part in parts)

    def model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 10),
        )
