"""CIFAR-10 and CIFAR-100: 32×32 colour images, classified by a ResNet-34 whose stem is made for them."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from cmbench.errors import UserError
from cmbench.workloads import array_pickle, data_locations
from cmbench.workloads.augmentation import Augmentation, crops_and_flips
from cmbench.workloads.base import Card, SingleTask, digest
from cmbench.workloads.download import Report, silent
from cmbench.workloads.examples import SPLIT_SEED, TensorClassification, stratified_split
from cmbench.workloads.images import standardised

if TYPE_CHECKING:
    from torchvision.models import ResNet

VALID = 10_000
PIXELS = 3 * 32 * 32
MOST_BYTES = 200_000_000
"""Of a file: CIFAR-100's has 155 million."""


class CIFAR(TensorClassification, SingleTask):
    """A seeded stratified split of the 50,000 training images into 40,000 and 10,000; the test images are left alone.

    Training images are cropped at random from a frame 4 pixels wider on each side, and mirrored half of the time.
    """

    version = 1
    name: str
    folder: str
    files: ClassVar[dict[str, str]]
    """The training files with their published MD5 sums."""
    label: bytes
    classes: int
    count = 50_000
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def _folder(self) -> Path | None:
        return data_locations.find(tuple(self.files), (self.folder,), self.data_dir)

    def is_here(self) -> bool:
        return self._folder() is not None

    def data_files(self) -> list[Path]:
        return data_locations.present(self._folder(), self.files)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The training images, (N, 3, 32, 32) bytes, and their classes (N,); raises `UserError` for other files."""
        folder = self._folder()
        if folder is None:
            raise data_locations.missing(self.name, self.data_dir)
        batches, self.published = [], True
        for name, md5 in self.files.items():
            content, published = data_locations.verified(folder / name, md5, MOST_BYTES)
            self.published &= published
            try:
                batches.append(self._batch(array_pickle.loads(content)))
            except (UnpicklingError, ValueError) as error:
                raise UserError(f"{folder / name}: not {self.name}'s Python version: {error}") from None
        images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        if (
            len(images) != self.count
            or np.bincount(labels, minlength=self.classes).tolist() != [self.count // self.classes] * self.classes
        ):
            raise UserError(
                f"{folder}: not {self.name}: {len(images):,} images: accepted: {self.count:,}, as many of each class"
            )
        return images, labels

    def _batch(self, content: Any) -> tuple[np.ndarray, np.ndarray]:
        """Images and classes of one file; raises `ValueError` for something else."""
        images, labels = (content.get(key) if isinstance(content, dict) else None for key in (b"data", self.label))
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (PIXELS,):
            raise ValueError(f"'data' is no table of {PIXELS:,} bytes in a row")
        if type(labels) is not list or len(labels) != len(images):
            raise ValueError(f"'{self.label.decode()}' is no list of a class for each image")
        if not all(type(label) is int and 0 <= label < self.classes for label in labels):
            raise ValueError(f"'{self.label.decode()}' has others than integers from 0 to {self.classes - 1}")
        return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)

    def fingerprint(self) -> str:
        images, labels = self.read()
        return digest(images.tobytes(), labels.tobytes(), f"stratified {VALID} {SPLIT_SEED}, crop and flip".encode())

    def load(self, device: torch.device) -> None:
        images, labels = self.read()
        parts = stratified_split(labels, VALID)
        self.train_inputs, self.valid_inputs = (torch.from_numpy(images[part]).to(device) for part in parts)
        self.train_targets, self.valid_targets = (torch.from_numpy(labels[part]).to(device) for part in parts)

    def inputs(self, images: Tensor) -> Tensor:
        """Bytes, standardised per channel."""
        return standardised(images, self.mean, self.deviation)

    def augmentation(self, count: int, order: torch.Generator) -> Augmentation:
        return crops_and_flips(count, order, self.train_targets.device)

    def model(self) -> nn.Module:
        """torchvision's ResNet-34 with a 3×3 stem of stride 1 and without max-pooling."""
        from torchvision.models import resnet34

        model: nn.Module = with_small_stem(resnet34(num_classes=self.classes))
        return model

    def prepare(self, report: Report = silent) -> None:
        import torchvision

        getattr(torchvision.datasets, self.name.upper())(data_locations.home(self.data_dir), download=True)


class CIFAR10(CIFAR):
    """Ten classes."""

    name = "cifar10"
    folder, label = "cifar-10-batches-py", b"labels"
    files: ClassVar = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    }
    classes = 10
    mean, deviation = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    card = Card(
        data="CIFAR-10: 40,000 + 10,000 of its 50,000 training images",
        source="https://www.cs.toronto.edu/~kriz/cifar.html (Python version; torchvision)",
        model="ResNet-34 with a 3×3 stem",
        parameters=21_282_122,
        examples=(40_000, 10_000),
    )


class CIFAR100(CIFAR):
    """A hundred classes."""

    name = "cifar100"
    folder, label = "cifar-100-python", b"fine_labels"
    files: ClassVar = {"train": "16019d7e3df5f24257cddd939b257f8d"}
    classes = 100
    mean, deviation = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    card = Card(
        data="CIFAR-100: 40,000 + 10,000 of its 50,000 training images",
        source="https://www.cs.toronto.edu/~kriz/cifar.html (Python version; torchvision)",
        model="ResNet-34 with a 3×3 stem",
        parameters=21_328_292,
        examples=(40_000, 10_000),
    )


def with_small_stem(network: ResNet) -> ResNet:
    """A ResNet for small images: its stem becomes a 3×3 convolution of stride 1, without max-pooling."""
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network
