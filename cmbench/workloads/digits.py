"""scikit-learn's 1,797 handwritten digits of 8×8 pixels: real images that need no download."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from cmbench.workloads.base import Card, digest
from cmbench.workloads.images import ImageClassification

SPLIT_SEED = 0


class Digits(ImageClassification):
    """A stratified split of 1,437 training and 360 validation images, the same for every seed of a run."""

    card = Card(
        data="scikit-learn's digits: 1,437 + 360 images of 8×8 pixels",
        source="comes with scikit-learn",
        model="two 3×3 convolutions, one pooling, a linear layer",
        parameters=9_930,
    )

    def fingerprint(self) -> str:
        images, labels = load_digits(return_X_y=True)
        return digest(images.tobytes(), labels.tobytes(), f"stratified 80/20 {SPLIT_SEED}".encode())

    def load(self, device: torch.device) -> None:
        images, labels = load_digits(return_X_y=True)
        parts = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=SPLIT_SEED)
        # Pixels are 0 … 16.
        images = [torch.tensor(p, dtype=torch.float32, device=device).view(-1, 1, 8, 8) / 8 - 1 for p in parts[:2]]
        self.train_images, self.valid_images = images
        self.train_labels, self.valid_labels = (torch.tensor(p, device=device) for p in parts[2:])

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
