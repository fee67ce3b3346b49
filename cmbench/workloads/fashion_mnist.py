"""Fashion-MNIST: 60,000 real images of clothes, 28×28 pixels, ten classes."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cmbench.errors import UserError
from cmbench.workloads import data_locations
from cmbench.workloads.base import Card, SingleTask, digest
from cmbench.workloads.download import Report, silent
from cmbench.workloads.examples import SPLIT_SEED, TensorClassification, stratified_split
from cmbench.workloads.packed import unpacked

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
VALID = 10_000
MOST_BYTES = 100_000_000
"""Of a file, packed or not: the largest has 47 million."""


class FashionMNIST(TensorClassification, SingleTask):
    """The 60,000 training images, split into 50,000 and 10,000 for validation, the same for every seed of a run.

    The 10,000 test images are left alone. Read from torchvision's layout or from that of Debian's package
    `dataset-fashion-mnist`.
    """

    version = 1
    card = Card(
        data="Fashion-MNIST: 50,000 + 10,000 of its 60,000 training images",
        source="https://github.com/zalandoresearch/fashion-mnist (torchvision; Debian: dataset-fashion-mnist)",
        model="two 3×3 convolutions, each with pooling, and a linear layer",
        parameters=20_490,
        examples=(50_000, 10_000),
    )
    counts: tuple[int, ...] = (6_000,) * 10

    def _folder(self) -> Path | None:
        layouts = ("FashionMNIST/raw", "fashion-mnist")
        return data_locations.find((IMAGES, LABELS), layouts, self.data_dir, ("/usr/share/datasets/fashion-mnist",))

    def is_here(self) -> bool:
        return self._folder() is not None

    def data_files(self) -> list[Path]:
        return data_locations.present(self._folder(), (IMAGES, LABELS))

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The training images, (N, 28, 28) bytes, and their classes (N,); raises `UserError` for other files."""
        folder = self._folder()
        if folder is None:
            raise data_locations.missing("fashion_mnist", self.data_dir, ("apt-get install dataset-fashion-mnist",))
        return read_images(folder, "Fashion-MNIST", self.counts)

    def fingerprint(self) -> str:
        images, labels = self.read()
        return digest(images.tobytes(), labels.tobytes(), f"stratified {VALID} {SPLIT_SEED}".encode())

    def load(self, device: torch.device) -> None:
        images, labels = self.read()
        parts = stratified_split(labels, VALID)
        self.train_inputs, self.valid_inputs = (
            torch.from_numpy(images[part]).unsqueeze(1).to(device) for part in parts
        )
        self.train_targets, self.valid_targets = (torch.from_numpy(labels[part]).long().to(device) for part in parts)

    def inputs(self, images: Tensor) -> Tensor:
        """Bytes stay bytes until they are needed; 0.286 and 0.353 are mean and deviation of the training pixels."""
        return images.float().div_(255).sub_(0.286).div_(0.353)

    def model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 10),
        )

    def prepare(self, report: Report = silent) -> None:
        from torchvision.datasets import FashionMNIST as Download

        Download(data_locations.home(self.data_dir), download=True)


def read_images(folder: Path, name: str, counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The training images (N, 28, 28) and classes (N,) of a data set in MNIST's format.

    Raises `UserError` when it does not have `counts` images of each class, as the one called `name` does.
    """
    images = read_idx(folder, IMAGES, (sum(counts), 28, 28), name)
    labels = read_idx(folder, LABELS, (sum(counts),), name)
    found = np.bincount(labels, minlength=10).tolist()
    if found != list(counts):
        raise UserError(f"{folder}: not {name}: images of each class: {found}: accepted: {list(counts)}")
    return images, labels


def read_idx(folder: Path, file: str, shape: tuple[int, ...], name: str) -> np.ndarray:
    """The bytes in an IDX file, plain or gzipped, of the `shape` that it has in the data set called `name`.

    The format: two zero bytes, the type (8: unsigned bytes), the number of dimensions, each dimension's size as a
    big-endian 32-bit integer, the data. Raises `UserError` for other files.
    """
    path, head = folder / file, 4 + 4 * len(shape)
    size = head + math.prod(shape)
    if path.is_file():
        content = data_locations.read_bytes(path, MOST_BYTES)
    else:
        path = folder / f"{file}.gz"
        try:
            content = unpacked(data_locations.read_bytes(path, MOST_BYTES), MOST_BYTES, gzip=True)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
    if content[:3] != b"\0\0\x08" or len(content) < head:
        raise UserError(f"{path}: not an IDX file: accepted: one of unsigned bytes")
    found = struct.unpack_from(f">{content[3]}I", content, 4) if content[3] == len(shape) else ()
    if found != shape:
        raise UserError(f"{path}: not {name}: its shape is {found}: accepted: {shape}")
    if len(content) != size:
        how = "ends too early" if len(content) < size else "goes on behind its data"
        raise UserError(f"{path}: {how}: accepted: {size:,} bytes")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape).copy()
