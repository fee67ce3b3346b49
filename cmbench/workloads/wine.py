"""scikit-learn's 178 wines: the smallest workload of all, a table of numbers on which a run takes a second."""

from __future__ import annotations

import torch
from sklearn.datasets import load_wine
from torch import nn

from cmbench.workloads.base import Card, SingleTask, digest
from cmbench.workloads.examples import SPLIT_SEED, TensorClassification, stratified_split


class Wine(TensorClassification, SingleTask):
    """A stratified split of 142 wines to train and 36 to validate on, the same for every seed of a run.

    Their 13 measured properties are standardised by mean and deviation of the training wines; the targets are the three
    cultivars.
    """

    version = 1
    card = Card(
        data="scikit-learn's wines: 142 + 36 rows of 13 numbers, three classes",
        source="comes with scikit-learn",
        model="a hidden layer of 16",
        parameters=275,
        examples=(142, 36),
    )

    def fingerprint(self) -> str:
        properties, cultivars = load_wine(return_X_y=True)
        return digest(properties.tobytes(), cultivars.tobytes(), f"stratified 80/20 {SPLIT_SEED}".encode())

    def load(self, device: torch.device) -> None:
        properties, cultivars = load_wine(return_X_y=True)
        train, valid = stratified_split(cultivars, 0.2)
        properties = (properties - properties[train].mean(0)) / properties[train].std(0)
        self.train_inputs, self.valid_inputs = (
            torch.tensor(properties[part], dtype=torch.float32, device=device) for part in (train, valid)
        )
        self.train_targets, self.valid_targets = (
            torch.tensor(cultivars[part], device=device) for part in (train, valid)
        )

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))
