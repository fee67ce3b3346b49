"""TinyImageNet: 200 classes of photographs of 64×64 pixels as a stream of 40 five-way tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from cmbench.errors import UserError, reason
from cmbench.workloads import data_locations
from cmbench.workloads.augmentation import Augmentation, crops_and_flips
from cmbench.workloads.base import Card, digest
from cmbench.workloads.download import Report, download, silent, unzip
from cmbench.workloads.examples import SPLIT_SEED
from cmbench.workloads.imagenet import DEVIATION, MEAN
from cmbench.workloads.images import opened, standardised
from cmbench.workloads.stream import Split, Stream, StreamTask

NAME = "tiny-imagenet-200"
SIZE = 64
WIDTH = 160
HIDDEN = 640
MOST_BYTES = 1 << 16
"""Of a picture of this size as a file."""
ROWS_AT_ONCE = 16
MOST_OF_GROUP = 1 << 28
"""Of a row group of parquet, unpacked: the longest has 150 million bytes, which are all training images."""
MOST_TEXT = 1 << 24
"""Of the lists of names, in bytes: the longest has 500,000."""
ZIP_SIZE, ZIP_MD5 = 248_100_043, "90528d7ca1a48142e341f4ef8d21d0de"
"""Of the published archive, as those who offer it for download have them."""


class Photographs(StreamTask):
    """Images of 64×64 pixels, standardised like ImageNet's; training images are cropped and mirrored at random.

    The crops are from a frame 4 pixels wider on each side (Gupta et al., 2020).
    """

    def inputs(self, images: Tensor) -> Tensor:
        return standardised(images, MEAN, DEVIATION)

    def augmentation(self, count: int, order: torch.Generator) -> Augmentation:
        return crops_and_flips(count, order, self.train_targets.device)


class TinyImageNetOnline(Stream):
    """The folder `tiny-imagenet-200`, or the parquet files of the hub's `zh-plus/tiny-imagenet`.

    All 500 training images of each class are trained on; the official 50 validation images of each are the validation
    set. Classes go to tasks at random, the same for every seed of a run (Gupta et al., 2020). The images are decoded
    whenever they are loaded, which takes about 20 s on two cores.
    """

    version = 1
    ways = 5
    task = Photographs
    url, md5 = "http://cs231n.stanford.edu/tiny-imagenet-200.zip", ZIP_MD5
    classes, train_count, valid_count = 200, 500, 50
    card = Card(
        data="TinyImageNet: 100,000 + 10,000 photographs of 64×64 pixels, as 40 five-way tasks",
        source="http://cs231n.stanford.edu/tiny-imagenet-200.zip, or the hub's zh-plus/tiny-imagenet (parquet)",
        model="four 3×3 convolutions of 160 channels and stride 2, three linear layers",
        parameters=2_873_640,
        examples=(100_000, 10_000),
    )

    def _layout(self) -> Layout | None:
        home = data_locations.home(self.data_dir)
        for folder in (home / NAME, home / "tiny-imagenet", home):
            if (folder / "wnids.txt").is_file() and (folder / "train").is_dir():
                return _Folder(folder)
            if data_locations.parquet(folder, "train") and data_locations.parquet(folder, "valid"):
                return _Parquet(folder)
        return None

    def is_here(self) -> bool:
        return self._layout() is not None

    def _found(self) -> Layout:
        layout = self._layout()
        if layout is None:
            target = data_locations.home(self.data_dir) / "tiny-imagenet"
            hub = f"hf download zh-plus/tiny-imagenet --repo-type dataset --local-dir {target}"
            raise data_locations.missing("tinyimagenet_online", self.data_dir, (hub,))
        return layout

    def fingerprint(self) -> str:
        """Of names and sizes, not of all bytes."""
        layout = self._found()
        try:
            marks = list(layout.marks())
        except (OSError, ValueError, UserError) as error:
            raise UserError(f"{layout.folder}: not TinyImageNet: {error}") from None
        return digest(*marks, f"tasks of {self.ways} classes, {SPLIT_SEED}, crop and flip".encode())

    def splits(self) -> Iterator[Split]:
        layout = self._found()
        train = self._decoded(layout, "train", self.train_count)
        valid = self._decoded(layout, "valid", self.valid_count)
        classes = np.random.default_rng(SPLIT_SEED).permutation(self.classes)
        for chosen in classes.reshape(-1, self.ways):
            parts = []
            for images in (train, valid):
                count = images.shape[1]
                parts += [images[chosen].reshape(-1, 3, SIZE, SIZE), np.repeat(np.arange(self.ways), count)]
            yield Split(*parts)

    def _decoded(self, layout: Layout, split: str, count: int) -> np.ndarray:
        """The images of all classes in their order, (classes, count, 3, 64, 64) bytes: 1.2 GB for the training images.

        Raises `UserError` when there are not `count` of each class.
        """
        try:
            rows = sorted(islice(layout.rows(split), self.classes * count + 1), key=lambda row: row.label)
        except UserError as error:
            raise UserError(f"{layout.folder}: not TinyImageNet: {error}") from None
        except Exception as error:
            # Whatever a reader of parquet raises, beside what broken lists of files do.
            raise UserError(f"{layout.folder}: not TinyImageNet: {reason(error)}") from None
        if [row.label for row in rows] != np.repeat(np.arange(self.classes), count).tolist():
            raise UserError(
                f"{layout.folder}: not TinyImageNet: {_many(len(rows), self.classes * count)} images in {split}: "
                f"accepted: {count} of each of {self.classes} classes"
            )
        images = np.empty((len(rows), 3, SIZE, SIZE), np.uint8)

        def decode(i: int) -> None:
            images[i] = _decode(rows[i])

        # Pillow decodes outside of Python's lock.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for _ in threads.map(decode, range(len(rows))):
                pass
        return images.reshape(self.classes, count, 3, SIZE, SIZE)

    def model(self) -> nn.Module:
        """The network of Gupta et al. (2020), with one output for each class of all tasks."""
        layers: list[nn.Module] = []
        for channels in (3, WIDTH, WIDTH, WIDTH):
            layers += [nn.Conv2d(channels, WIDTH, 3, stride=2, padding=1), nn.ReLU()]
        layers += [nn.Flatten(), nn.Linear((SIZE // 16) ** 2 * WIDTH, HIDDEN), nn.ReLU()]
        layers += [nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, self.classes)]
        return nn.Sequential(*layers)

    def prepare(self, report: Report = silent) -> None:
        home = data_locations.home(self.data_dir)
        archive = download(self.url, home / f"{NAME}.zip", report, most=ZIP_SIZE, md5=self.md5)
        unzip(archive, home, NAME)
        archive.unlink()


class Row(NamedTuple):
    """One image: its class, its name in messages, and what Pillow opens."""

    label: int
    name: str
    content: Path | bytes


class Layout(Protocol):
    """One of the forms that the data comes in."""

    @property
    def folder(self) -> Path:
        """Where it lies."""

    def rows(self, split: str) -> Iterator[Row]:
        """The images of `train` or `valid`, not decoded; classes are counted in the order of their WordNet numbers."""

    def marks(self) -> Iterator[bytes]:
        """Names and sizes that tell one state of the files from another."""


@dataclass(frozen=True)
class _Folder:
    """The original layout: train/WNID/images/*.JPEG, val/images/*.JPEG with val/val_annotations.txt, wnids.txt."""

    folder: Path

    def _classes(self) -> list[str]:
        names = sorted(data_locations.read_text(self.folder / "wnids.txt", MOST_TEXT).split())
        return [_name_only(name) for name in names]

    def rows(self, split: str) -> Iterator[Row]:
        classes = self._classes()
        if split == "train":
            for label, wnid in enumerate(classes):
                for file in sorted((self.folder / "train" / wnid / "images").glob("*.JPEG")):
                    yield Row(label, str(file), file)
        else:
            numbers = {wnid: label for label, wnid in enumerate(classes)}
            for line in data_locations.read_text(self.folder / "val" / "val_annotations.txt", MOST_TEXT).splitlines():
                name, wnid, *_ = line.split("\t")
                file = self.folder / "val" / "images" / _name_only(name)
                yield Row(numbers[wnid], str(file), file)

    def marks(self) -> Iterator[bytes]:
        for name in ("wnids.txt", "val/val_annotations.txt"):
            yield data_locations.read_bytes(self.folder / name, MOST_TEXT)
        for images in (*(f"train/{wnid}/images" for wnid in self._classes()), "val/images"):
            sizes = [entry.stat().st_size for entry in os.scandir(self.folder / images)]
            yield f"{images} {len(sizes)} {sum(sizes)}".encode()


@dataclass(frozen=True)
class _Parquet:
    """The hub's files of either split, with the columns `image` (bytes and path) and `label`."""

    folder: Path

    def _files(self, split: str) -> list[Path]:
        return data_locations.parquet(self.folder, split)

    def rows(self, split: str) -> Iterator[Row]:
        from pyarrow.parquet import ParquetFile

        for file in self._files(split):
            table = ParquetFile(file)
            groups = [table.metadata.row_group(i).total_byte_size for i in range(table.num_row_groups)]
            if max(groups, default=0) > MOST_OF_GROUP:
                raise ValueError(f"{file.name}: a row group of {max(groups):,} bytes: accepted: {MOST_OF_GROUP:,}")
            wrong = ValueError(f"{file.name}: a row without an image of at most {MOST_BYTES:,} bytes and a class")
            # Few rows at once: in a file of a few kilobytes each may stand for the same megabytes.
            for batch in table.iter_batches(ROWS_AT_ONCE, columns=["image", "label"]):
                if batch.nbytes > 2 * ROWS_AT_ONCE * MOST_BYTES:
                    raise wrong
                for row in batch.to_pylist():
                    image, label = row["image"], row["label"]
                    if type(label) is not int or type(image["bytes"]) is not bytes or len(image["bytes"]) > MOST_BYTES:
                        raise wrong
                    yield Row(label, f"{file}: {str(image.get('path'))[:100]}", image["bytes"])

    def marks(self) -> Iterator[bytes]:
        for file in (*self._files("train"), *self._files("valid")):
            yield f"{file.name} {file.stat().st_size}".encode()


def _decode(row: Row) -> np.ndarray:
    """The image (3, 64, 64); a few of the originals are grey."""
    picture = opened(row.content, row.name, size=(SIZE, SIZE))
    return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)


def _name_only(name: str) -> str:
    """A name that leads nowhere else; raises `ValueError` for a path."""
    if Path(name).name != name:
        raise ValueError(f"{name[:100]!r} where a file's name belongs")
    return name


def _many(count: int, accepted: int) -> str:
    return f"more than {accepted:,}" if count > accepted else f"{count:,}"
