"""5-dataset: CIFAR-10, MNIST, Fashion-MNIST, SVHN and notMNIST as a stream of five tasks, for a ResNet-18."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmbench.workloads import data_locations
from cmbench.workloads.base import Card, digest
from cmbench.workloads.cifar import CIFAR10, with_small_stem
from cmbench.workloads.download import Report, silent
from cmbench.workloads.examples import SPLIT_SEED, stratified_split
from cmbench.workloads.fashion_mnist import FashionMNIST
from cmbench.workloads.imagenet import DEVIATION, MEAN
from cmbench.workloads.images import standardised
from cmbench.workloads.mnist import MNIST
from cmbench.workloads.notmnist import NotMNIST
from cmbench.workloads.options import Option, Value
from cmbench.workloads.stream import Split, Stream, StreamTask
from cmbench.workloads.svhn import SVHN

SMALL, LARGE = 32, 224


class ImageSource(Protocol):
    """Where the training images of one data set come from."""

    published: bool
    """Whether what was read are the published files."""

    def is_here(self) -> bool:
        """Whether its files are on this machine."""

    def data_files(self) -> list[Path]:
        """Those that are read."""

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes, (N, 3, 32, 32) or grey (N, 28, 28), and classes (N,); raises `UserError` for other files."""

    def prepare(self, report: Report = silent) -> None:
        """Downloads them."""


@dataclass(frozen=True)
class Member:
    """One data set, and how many of its training images, or what share of them, are for validation."""

    name: str
    source: Callable[[Path | None], ImageSource]
    valid: int | float


class SmallPictures(StreamTask):
    """Images of 32×32 pixels, standardised like ImageNet's, as Mehta et al. (2023) do; they are not augmented."""

    def inputs(self, images: Tensor) -> Tensor:
        return standardised(images, MEAN, DEVIATION)


class LargePictures(SmallPictures):
    """The same, scaled to 224×224 pixels (bilinear), as the network of Mehta et al.'s code sees them."""

    valid_batch = 250

    def inputs(self, images: Tensor) -> Tensor:
        return F.interpolate(super().inputs(images), (LARGE, LARGE), mode="bilinear")


class FiveDatasetsOnline(Stream):
    """The five one after the other, as the paper lists them or shuffled by the run's seed; all in colour.

    The options `shuffled`, `imagenet` and 224 are what Mehta et al. (2023) do, by their public code; that trains on
    all training images and evaluates on the test images, and splits notMNIST at random, 90 to 10.

    Validation is on a stratified split of each one's training images, the same for every seed of a run: 10,000 of
    CIFAR-10, MNIST and Fashion-MNIST, a fifth of SVHN and notMNIST. Their test images are left alone.
    """

    version = 1
    ways = 10
    members = (
        Member("CIFAR-10", CIFAR10, 10_000),
        Member("MNIST", MNIST, 10_000),
        Member("Fashion-MNIST", FashionMNIST, 10_000),
        Member("SVHN", SVHN, 0.2),
        Member("notMNIST", NotMNIST, 0.2),
    )
    options: ClassVar = {
        "order": Option(("listed", "shuffled"), "of the tasks: CIFAR-10 first, or shuffled by the run's seed"),
        "stem": Option(("cifar", "imagenet"), "3×3 without pooling, or torchvision's 7×7 of stride 2 with max-pooling"),
        "size": Option((SMALL, LARGE), "of the images that the network sees, in pixels"),
    }
    card = Card(
        data="CIFAR-10, MNIST, Fashion-MNIST, SVHN, notMNIST as five ten-way tasks: 213,584 + 48,397 of their training "
        "images",
        source="torchvision's sources; http://yaroslavvb.com/upload/notMNIST (notMNIST_small.tar.gz)",
        model="ResNet-18 with a 3×3 stem",
        parameters=11_194_482,
        examples=(213_584, 48_397),
    )

    def __init__(self, data_dir: Path | None = None, chosen: Mapping[str, Value] = MappingProxyType({})) -> None:
        super().__init__(data_dir, chosen)
        self.task = LargePictures if self.chosen["size"] == LARGE else SmallPictures

    def tasks_of_run(self, order: torch.Generator) -> Sequence[StreamTask]:
        if self.chosen["order"] == "listed":
            return self.tasks
        return [self.tasks[i] for i in torch.randperm(len(self.tasks), generator=order).tolist()]

    def _missing(self) -> list[Member]:
        return [member for member in self.members if not member.source(self.data_dir).is_here()]

    def is_here(self) -> bool:
        return not self._missing()

    def data_files(self) -> list[Path]:
        parts = [member.source(self.data_dir).data_files() for member in self.members]
        return [file for part in parts for file in part] if all(parts) else []

    def _read(self) -> Iterator[tuple[Member, np.ndarray, np.ndarray]]:
        if missing := self._missing():
            raise data_locations.missing(
                "five_datasets_online", self.data_dir, parts=[member.name for member in missing]
            )
        self.published = True
        for member in self.members:
            source = member.source(self.data_dir)
            images, labels = source.read()
            self.published &= source.published
            yield member, images, labels.astype(np.int64)

    def fingerprint(self) -> str:
        return digest(
            *(
                # One by one: all images together are 800 MB.
                digest(images.tobytes(), labels.tobytes(), f"stratified {member.valid} {SPLIT_SEED}".encode()).encode()
                for member, images, labels in self._read()
            )
        )

    def splits(self) -> Iterator[Split]:
        for member, images, labels in self._read():
            if images.ndim == 3:
                images = as_rgb(images, frame=2 if self.chosen["size"] == SMALL else 0)
            train, valid = stratified_split(labels, member.valid)
            yield Split(images[train], labels[train], images[valid], labels[valid])

    def model(self) -> nn.Module:
        """torchvision's ResNet-18 with 50 outputs, and with its own stem or one for small images."""
        from torchvision.models import resnet18

        model = resnet18(num_classes=self.ways * len(self.members))
        network: nn.Module = with_small_stem(model) if self.chosen["stem"] == "cifar" else model
        return network

    def prepare(self, report: Report = silent) -> None:
        for member in self._missing():
            member.source(self.data_dir).prepare(report)


def as_rgb(images: np.ndarray, frame: int) -> np.ndarray:
    """Grey images (N, H, W) in a black frame of so many pixels, the same in three channels: (N, 3, H', W')."""
    framed = np.pad(images, ((0, 0), (frame, frame), (frame, frame)))
    return np.repeat(framed[:, None], 3, axis=1)
