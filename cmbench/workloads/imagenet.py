"""ImageNet: 1.28 million photographs of a thousand classes, decoded by worker processes, for an EfficientNet-B0."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from cmbench.errors import UserError, reason
from cmbench.workloads import data_locations, table_files
from cmbench.workloads.base import Batch, Card, SingleTask, digest
from cmbench.workloads.download import Report, silent
from cmbench.workloads.examples import Classification
from cmbench.workloads.images import opened
from cmbench.workloads.metrics import WHOLE, Shard
from cmbench.workloads.options import Option, Value

CLASSES, TRAIN, VALID = 1000, 1_281_167, 50_000
SIZE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EVALUATION_BATCH = 256
ENDINGS = (".jpeg", ".jpg", ".png")
"""Of photographs; one of the published JPEG files holds a PNG."""
LONGEST = 100
"""The longer side of a photograph over the shorter one: when that is scaled to 256 pixels, the longer one grows too."""


class ImageNet(Classification, SingleTask):
    """An ImageFolder tree (`train/CLASS/*.JPEG`, `val/CLASS/*.JPEG`) or the parquet files of `ILSVRC/imagenet-1k`.

    Training images are random crops of 8 to 100 % of the area, scaled to 224×224, mirrored half of the time; validation
    images are central crops. The official validation set is the validation set. Before the crop its images' shorter
    side is scaled to 256 pixels (bilinear, as torchvision's references do), or to 224 (bicubic, as the example of the
    paper's source does: lukemelas/EfficientNet-PyTorch).
    """

    version = 1
    options: ClassVar = {
        "resize": Option((256, 224), "shorter side of a validation image before its central crop: bilinear, or bicubic")
    }
    card = Card(
        data="ImageNet-1k: 1,281,167 + 50,000 photographs",
        source="https://www.image-net.org (a folder with train/ and val/), or the hub's ILSVRC/imagenet-1k (parquet)",
        model="EfficientNet-B0",
        parameters=5_288_548,
        examples=(TRAIN, VALID),
    )

    def _folder(self) -> Path | None:
        home = data_locations.home(self.data_dir)
        for folder in (home, home / "imagenet", home / "ILSVRC" / "Data" / "CLS-LOC", home / "imagenet-1k"):
            if ((folder / "train").is_dir() and (folder / "val").is_dir()) or data_locations.parquet(folder, "train"):
                return folder
        return None

    def is_here(self) -> bool:
        return self._folder() is not None

    def data_files(self) -> list[Path]:
        """The folders of the classes: each is as old as the last change to its list of files, which is all that counts.

        None where there are parquet files, whose sizes are known at once.
        """
        folder = self._folder()
        if folder is None or data_locations.parquet(folder, "train"):
            return []
        splits = [folder / "train", folder / "val"]
        return splits + [Path(entry.path) for split in splits for entry in os.scandir(split) if entry.is_dir()]

    def _found(self) -> Path:
        folder = self._folder()
        if folder is None:
            home = data_locations.home(self.data_dir)
            raise UserError(
                f"workload imagenet: its data is not in {home} (--data-dir, {data_locations.VARIABLE})\n"
                "  put there a folder imagenet/ with train/ and val/, one folder per class in each;\n"
                "  or accept its terms on the hub and run\n"
                "  hf download ILSVRC/imagenet-1k --repo-type dataset --include 'data/*' "
                f"--local-dir {home / 'imagenet-1k'}"
            )
        return folder

    def fingerprint(self) -> str:
        """Of names and sizes, not of 150 GB: every class with its number of files, or every parquet file's size."""
        folder = self._found()
        files = data_locations.parquet(folder, "train") + data_locations.parquet(folder, "validation")
        if files:
            return digest(*(f"{file.name} {file.stat().st_size}".encode() for file in files))
        rows = []
        for split in ("train", "val"):
            for entry in sorted(os.scandir(folder / split), key=lambda entry: entry.name):
                if entry.is_dir():
                    rows.append(f"{split} {entry.name} {sum(1 for _ in os.scandir(entry.path))}".encode())
        return digest(*rows)

    def load(self, device: torch.device) -> None:
        self.device, folder, resize = device, self._found(), self.chosen["resize"]
        if data_locations.parquet(folder, "train"):
            self.train_set: Any = _Parquet(data_locations.parquet(folder, "train"), True, resize)
            self.valid_set: Any = _Parquet(data_locations.parquet(folder, "validation"), False, resize)
        else:
            self.train_set = _Folders(folder / "train", True, resize)
            self.valid_set = _Folders(folder / "val", False, resize)
            if odd := sorted({*self.train_set.classes} ^ {*self.valid_set.classes}):
                raise UserError(f"{folder}: train/ and val/ have different classes: {', '.join(odd[:5])}")
        workers = os.cpu_count() or 1
        self._options: dict[str, Any] = {"num_workers": min(workers, 16), "pin_memory": device.type == "cuda"}

    def subset(self) -> dict[str, tuple[int, int]]:
        counts = {
            "train": (len(self.train_set), TRAIN),
            "validation": (len(self.valid_set), VALID),
            "classes": (len(self.train_set.classes), CLASSES),
        }
        return {name: (found, published) for name, (found, published) in counts.items() if found != published}

    def model(self) -> nn.Module:
        from torchvision.models import efficientnet_b0

        model: nn.Module = efficientnet_b0(num_classes=CLASSES)
        return model

    @property
    def examples(self) -> int:
        return len(self.train_set)

    def batches(
        self, batch_size: int, order: torch.Generator, start: int = 0, shard: Shard = WHOLE, augment: bool = True
    ) -> Iterator[Batch]:
        permutation = torch.randperm(self.examples, generator=order)
        # Each image has a seed of its own, so that neither workers nor an epoch taken up in the middle change it.
        self.train_set.seed = int(torch.randint(2**62, (), generator=order))
        self.train_set.augment = augment
        yield from self._read(self.train_set, torch.split(permutation, batch_size)[start:], shard)

    def valid_batches(self, shard: Shard = WHOLE) -> Iterator[Batch]:
        yield from self._read(self.valid_set, torch.split(torch.arange(len(self.valid_set)), EVALUATION_BATCH), shard)

    def _read(self, images: Dataset[Any], batches: Sequence[Tensor], shard: Shard) -> Iterator[Batch]:
        numbers = [shard.of(batch).tolist() for batch in batches]
        # A generator of its own: a loader draws one number, which would not be drawn again after a resume.
        loader = DataLoader(
            images, batch_sampler=numbers, generator=torch.Generator(), collate_fn=_together, **self._options
        )
        for batch, found in zip(batches, loader, strict=True):
            if isinstance(found, UserError):
                raise found
            inputs, targets = (tensor.to(self.device, non_blocking=True) for tensor in found)
            yield Batch(inputs, targets, len(batch))

    def prepare(self, report: Report = silent) -> None:
        self._found()  # its terms must be accepted by a person: there is nothing to download without


class _Images(Dataset[Any]):
    """Images as standardised tensors, cropped at random where they `augment`, else in the middle.

    The chances of an image depend on `seed` and its number alone.
    """

    seed = 0

    def __init__(self, augment: bool, resize: Value) -> None:
        from torchvision.transforms import InterpolationMode, v2

        self.augment = augment
        way = InterpolationMode.BICUBIC if resize == SIZE else InterpolationMode.BILINEAR
        scale = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]
        self._at_random = v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip(), *scale])
        self._central = v2.Compose([v2.Resize(resize, way), v2.CenterCrop(SIZE), *scale])

    def picture(self, i: int) -> tuple[Any, int]:
        """The image and its class."""
        raise NotImplementedError

    def __getitem__(self, i: int) -> tuple[Tensor, int] | UserError:
        """The image and its class; or what is wrong with it, which a worker process would raise with its traceback."""
        try:
            picture, label = self.picture(i)
        except UserError as error:
            return error
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self.seed + i) % 2**63)
            return (self._at_random if self.augment else self._central)(picture.convert("RGB")), label


def _together(rows: Sequence[Any]) -> Any:
    """A batch of images and classes, or what is wrong with the first image that has something wrong."""
    return next((row for row in rows if isinstance(row, UserError)), None) or default_collate(list(rows))


def _photograph(content: Path | bytes, name: str) -> Any:
    picture = opened(content, name)
    if max(picture.size) > LONGEST * min(picture.size):
        shown = f"{picture.width:,}×{picture.height:,} pixels"
        raise UserError(f"{name}: {shown}: accepted: a longer side of at most {LONGEST} times the shorter one")
    return picture


class _Folders(_Images):
    """The photographs in `folder/CLASS`, in the order of their names; folders further down are not looked into."""

    def __init__(self, folder: Path, augment: bool, resize: Value) -> None:
        super().__init__(augment, resize)
        self.folder = folder
        self.classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
        if len(self.classes) > CLASSES:
            raise UserError(f"{folder}: {len(self.classes):,} classes: accepted: at most {CLASSES:,}")
        self.files: list[tuple[str, int]] = []
        for label, name in enumerate(self.classes):
            files = sorted(e.name for e in os.scandir(folder / name) if e.name.lower().endswith(ENDINGS))
            if not files:
                raise UserError(f"{folder / name}: no photographs: accepted: files that end in {', '.join(ENDINGS)}")
            self.files += [(file, label) for file in files]

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, i: int) -> tuple[Any, int]:
        file, label = self.files[i]
        path = self.folder / self.classes[label] / file
        return _photograph(path, str(path)), label


class _Parquet(_Images):
    def __init__(self, files: list[Path], augment: bool, resize: Value) -> None:
        from datasets import Image, load_dataset

        super().__init__(augment, resize)
        self.name = f"{files[0].parent}" if files else ""
        for file in files:
            table_files.check(file)
        try:
            rows = load_dataset("parquet", data_files=[str(file) for file in files], split="train")
            # Others than these two would be decoded with every row, as what the file calls them.
            self.rows = rows.select_columns(["image", "label"]).cast_column("image", Image(decode=False))
            classes = {*rows.unique("label")}
        except Exception as error:
            # Whatever the library or the reader of the format raises.
            raise UserError(f"{self.name}: not ImageNet: {reason(error)}") from None
        if not all(type(label) is int and 0 <= label < CLASSES for label in classes):
            raise UserError(f"{self.name}: not ImageNet: label: accepted: integers from 0 to {CLASSES - 1}")
        self.classes = sorted(classes)

    def __len__(self) -> int:
        return len(self.rows)

    def picture(self, i: int) -> tuple[Any, int]:
        row = self.rows[i]
        content, name = row["image"]["bytes"], f"{self.name}: row {i:,}"
        if type(content) is not bytes:
            raise UserError(f"{name}: no bytes of an image")
        return _photograph(content, name), row["label"]
