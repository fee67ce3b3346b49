"""Small data sets in the true formats for the campaign, what reads them, and mutations that need to know the format."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import struct
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from torch import nn

from cmbench.workloads import cifar, fashion_mnist, ptb
from cmbench.workloads.cifar import CIFAR100
from cmbench.workloads.hub import from_datasets
from cmbench.workloads.imagenet import ImageNet
from cmbench.workloads.mnist import MNIST
from cmbench.workloads.notmnist import NotMNIST
from cmbench.workloads.svhn import SVHN
from cmbench.workloads.tinyimagenet import TinyImageNetOnline
from tests.campaign.mutations import mutated
from tests.workloads import miniatures

BOMB = 5 << 28
"""Bytes that an archive unpacks to, whatever it says."""
IMAGES, COUNTS = 200, (5,) * 10
TOKENS = {"train": 44, "validation": 24, "test": 24}


def accept(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes the readers take the small sets for the true ones, whatever their sums are."""
    patch.setenv("CMBENCH_UNVERIFIED_DATA", "1")
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
    miniatures.accept_streams(patch, COUNTS, IMAGES)
    patch.setattr(CIFAR100, "count", IMAGES)
    patch.setattr(cifar, "VALID", 100)
    patch.setattr(fashion_mnist, "VALID", 10)
    patch.setattr(ptb, "TOKENS", TOKENS)
    patch.setattr(ptb, "VOCABULARY", 3)
    for name, count in (("classes", 5), ("train_count", 2), ("valid_count", 1)):
        patch.setattr(TinyImageNetOnline, name, count)


def cifar10(folder: Path) -> None:
    miniatures.cifar(folder, "cifar10", IMAGES)


def cifar100(folder: Path) -> None:
    miniatures.cifar(folder, "cifar100", IMAGES)


def svhn(folder: Path) -> None:
    miniatures.svhn(folder, COUNTS)


def read_svhn(folder: Path) -> None:
    SVHN(folder).read()


def inside_mat(content: bytes, draw: random.Random, trace: Path) -> bytes:
    """Mutated elements that are packed as they should be."""
    end = 128 + 8 + struct.unpack_from("<I", content, 128 + 4)[0]
    elements = [content[128:end], content[end:]]
    which = draw.randrange(2)
    elements[which] = mutated(elements[which], draw, trace)
    packed = [zlib.compress(element, 1) for element in elements]
    return content[:128] + b"".join(struct.pack("<II", 15, len(element)) + element for element in packed)


def mnist(folder: Path) -> None:
    miniatures.mnist(folder, "MNIST", COUNTS)


def read_mnist(folder: Path) -> None:
    MNIST(folder).read()


def fashion(folder: Path) -> None:
    miniatures.mnist(folder, "FashionMNIST", COUNTS)
    for file in list((folder / "FashionMNIST" / "raw").iterdir()):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), 1))
        file.unlink()


def inside_gzip(content: bytes, draw: random.Random, trace: Path) -> bytes:
    """Mutated content that is packed as it should be; in one case of ten, hundreds of megabytes."""
    inner = mutated(gzip.decompress(content), draw, trace)
    return gzip.compress(inner + bytes(300_000_000) if draw.random() < 0.02 else inner, 1)


def notmnist(folder: Path) -> None:
    miniatures.notmnist(folder, COUNTS)


def notmnist_archive(folder: Path) -> None:
    miniatures.notmnist(folder, COUNTS)
    miniatures.notmnist_archive(folder, folder)
    shutil.rmtree(folder / "notMNIST_small")


def read_notmnist(folder: Path) -> None:
    NotMNIST(folder).read()


OUTSIDE = Path(tempfile.gettempdir()) / f"campaign_outside_{os.getpid()}"
"""Where an absolute name in an archive leads."""
NAMES = (
    "../outside", "../../outside", str(OUTSIDE), "a/../../outside", "..\\outside", "C:\\outside", "A/1.png", "A/1.png",
    "A", "A/1.png/b", "x" * 300, "A/" + "y/" * 200, "", ".", "a\0b", "\u202e",
)  # fmt: skip


def hostile_tar(content: bytes, draw: random.Random, trace: Path) -> bytes:
    """The archive with members that lead elsewhere, are no files, or lie about their size; or header chains."""
    if draw.random() < 0.1:
        return gzip.compress(_chain(draw.choice([tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])), 1)
    target = io.BytesIO()
    kinds = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
             tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE)  # fmt: skip
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as files:
        for _ in range(draw.choice([1, 3, 50])):
            member = tarfile.TarInfo(draw.choice([*NAMES, "notMNIST_small/B/more.png"]))
            member.type, member.linkname = draw.choice(kinds), draw.choice(["/etc/passwd", "../..", "A/1.png"])
            size = draw.choice([0, 10, 1 << 20])
            member.size = size if member.type in (tarfile.REGTYPE, tarfile.CONTTYPE) else 0
            member.pax_headers = {"path": draw.choice(NAMES)} if draw.random() < 0.2 else {}
            files.addfile(member, io.BytesIO(bytes(member.size)))
            if member.isreg() and draw.random() < 0.1:  # its header says more, or less, than there is
                member.size = draw.choice([0, 1 << 20, 1 << 40])
                files.fileobj.write(member.tobuf())
    rest = gzip.decompress(content) if draw.random() < 0.5 else b""
    packed = gzip.decompress(target.getvalue())
    end = -(-len(packed.rstrip(b"\0")) // 512) * 512 if rest else len(packed)  # where the last member ends
    return gzip.compress(packed[:end] + rest, 1)


def _chain(kind: bytes) -> bytes:
    """Headers of which each belongs to the next one, and no file."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, 512
    return (header.tobuf(tarfile.GNU_FORMAT) + b"9 a=bcde\n".ljust(512, b"\0")) * 2_000


def tinyimagenet(folder: Path) -> None:
    miniatures.tinyimagenet(folder, classes=5, train=2, valid=1)


def tinyimagenet_hub(folder: Path) -> None:
    root = miniatures.tinyimagenet(folder.parent / "original", classes=5, train=2, valid=1)
    miniatures.tinyimagenet_hub(root, folder)
    shutil.rmtree(root.parent)


def archive(folder: Path) -> None:
    root = miniatures.tinyimagenet(folder / "original", classes=5, train=2, valid=1)
    with zipfile.ZipFile(folder / "data.zip", "w", zipfile.ZIP_DEFLATED) as files:
        for file in sorted(root.rglob("*")):
            files.write(file, file.relative_to(root.parent))
    shutil.rmtree(root.parent)


def hostile_zip(content: bytes, draw: random.Random, trace: Path) -> bytes:
    """The archive with members that lead elsewhere, are links, stand there twice, or unpack to more than they say."""
    if draw.random() < 0.1:
        return _bomb(draw.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    target = io.BytesIO(content)
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as files, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand there twice
        for _ in range(draw.choice([1, 3, 50])):
            member = zipfile.ZipInfo(f"{draw.choice(['', 'tiny-imagenet-200/'])}{draw.choice(NAMES)}")
            member.filename = draw.choice([member.filename, *NAMES])
            member.external_attr = draw.choice([0, 0o100644, 0o120777, 0o020666, 0o010666, 0o140777]) << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            files.writestr(member, bytes(draw.choice([0, 10, 1000])))
    changed = target.getvalue()
    return mutated(changed, draw, trace) if draw.random() < 0.5 else changed


LZMA = {"id": lzma.FILTER_LZMA1, "preset": 0, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "dict_size": 1 << 16}
LZMA_PROPERTIES = struct.pack("<BBHBI", 9, 4, 5, 0x5D, 1 << 16)


@cache
def _bomb(method: int) -> bytes:
    """An archive of kilobytes that stand for gigabytes, and say that they are a few bytes."""
    packer = {
        zipfile.ZIP_DEFLATED: lambda: zlib.compressobj(1, zlib.DEFLATED, -15),
        zipfile.ZIP_BZIP2: lambda: bz2.BZ2Compressor(9),
        zipfile.ZIP_LZMA: lambda: lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[LZMA]),
    }[method]()
    # In a zip the properties of LZMA stand before what it has packed.
    packed = LZMA_PROPERTIES if method == zipfile.ZIP_LZMA else b""
    packed += b"".join(packer.compress(bytes(1 << 24)) for _ in range(BOMB >> 24)) + packer.flush()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as files:
        member = zipfile.ZipInfo("tiny-imagenet-200/wnids.txt")
        files.writestr(member, packed)
    content = bytearray(target.getvalue())
    for place, first in ((0, 8), (content.rindex(b"PK\1\2"), 10)):
        struct.pack_into("<H", content, place + first, method)
        struct.pack_into("<I", content, place + first + 14, 10)
    return bytes(content)


def imagenet(folder: Path) -> None:
    miniatures.photographs(folder)


def imagenet_hub(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    miniatures.photographs(folder)
    (folder / "data").mkdir()
    for split, part in (("train", "train"), ("validation", "val")):
        files = sorted((folder / "imagenet" / part).glob("*/*.JPEG"))
        images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
        table = pyarrow.table({"image": images, "label": [int(f.parent.name == "n01443537") for f in files]})
        parquet.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    shutil.rmtree(folder / "imagenet")


def read_imagenet(folder: Path) -> None:
    workload = ImageNet(folder)
    workload.fingerprint()
    workload.load(torch.device("cpu"))
    for images in (workload.train_set, workload.valid_set):
        for i in range(len(images)):
            images.picture(i)


def ptb_text(words: int) -> str:
    return "".join("a b\n" for _ in range(words // 3)) + "a\n" * (words % 3 // 2)


def ptb_files(folder: Path) -> None:
    for name, count in zip(("train", "valid", "test"), TOKENS.values(), strict=True):
        (folder / f"ptb.{name}.txt").write_text(ptb_text(count))


def text(folder: Path) -> None:
    (folder / "mine.txt").write_text("the cat sat on the mat, and so did the dog.\n" * 50)


def _table() -> pandas.DataFrame:
    draw = np.random.default_rng(0)
    return pandas.DataFrame({"x": draw.normal(size=20), "y": np.arange(20), "kind": ["ash", "birch"] * 10})


def table_parquet(folder: Path) -> None:
    _table().to_parquet(folder / "a.parquet")


def table_csv(folder: Path) -> None:
    _table().to_csv(folder / "a.csv")


def long_texts(content: bytes, draw: random.Random, trace: Path) -> bytes:
    """Mutated, or with a text of megabytes in which there is what ends texts and lists elsewhere."""
    if draw.random() < 0.9:
        return mutated(content, draw, trace)
    long = draw.choice([b"x", b"[", b"\\\\", b'\\"', b"\\[", b"\\u0000"]) * draw.choice([1_000_000, 10_000_000])
    return content.replace(b"ash", long + draw.choice([b"", b'"', b"\\", b"\n"]), 1)


def table_json(folder: Path) -> None:
    _table().to_json(folder / "a.jsonl", orient="records", lines=True)


def _model() -> nn.Module:
    return nn.Linear(2, 2)


def read_table(folder: Path) -> None:
    (file,) = folder.iterdir()
    from_datasets(str(file), inputs=["x", "y"], target="kind", metric="accuracy", model=_model)


def pictures(folder: Path) -> None:
    from datasets import Dataset, Features, Image, Value

    rows = [{"image": {"bytes": miniatures.jpeg(i), "path": None}, "label": i % 2} for i in range(10)]
    features = Features({"image": Image(), "label": Value("int64")})
    Dataset.from_list(rows, features=features).to_parquet(folder / "a.parquet")


def read_pictures(folder: Path) -> None:
    (file,) = folder.iterdir()
    from_datasets(str(file), inputs="image", target="label", metric="accuracy", model=_model)
