"""scikit-learn's digits as a stream of five tasks: is it the one or the other of two digits?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from cmbench.workloads.base import digest
from cmbench.workloads.digits import Digits
from cmbench.workloads.stream import Split, Stream


class DigitsOnline(Stream):
    """0 or 1, 2 or 3, … 8 or 9, with the images, the split and the model of the workload `digits`."""

    version = 1
    ways = 2
    card = replace(Digits.card, data=f"{Digits.card.data}, as five two-way tasks")

    def fingerprint(self) -> str:
        return digest(Digits().fingerprint().encode(), f"tasks of {self.ways}".encode())

    def splits(self) -> Iterator[Split]:
        digits = Digits()
        digits.load(torch.device("cpu"))
        train, valid = (digits.train_inputs, digits.train_targets), (digits.valid_inputs, digits.valid_targets)
        for first in range(0, 10, self.ways):
            parts = []
            for images, labels in (train, valid):
                chosen = (labels >= first) & (labels < first + self.ways)
                parts += [images[chosen].numpy(), labels[chosen].numpy() - first]
            yield Split(*parts)

    def model(self) -> nn.Module:
        return Digits().model()
