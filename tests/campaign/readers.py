"""Every reader of data with mutated files: it reads them, or refuses them in a sentence, and soon."""

from __future__ import annotations

import io
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from cmbench.errors import UserError
from cmbench.workloads.registry import get_workload
from tests.campaign import data_sets
from tests.campaign.attack import Attack, Outcome, deadline
from tests.campaign.mutations import mutated

HOLDS = "read, or refused in a sentence; nothing is run, no hang over 10 s, no gigabyte of memory"
TRIES = 500
SECONDS = 10
MOST_MEMORY = 1 << 30
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Reader:
    """What reads one kind of data: how a small data set is made, which of its files are mutated, and how it is read."""

    name: str
    make: Callable[[Path], object]
    files: str
    read: Callable[[Path], object]
    change: Callable[[bytes, random.Random, Path], bytes] = mutated


def _load(name: str, folder: Path, **options: Any) -> None:
    workload = get_workload(name, data_dir=folder, options=options)
    workload.fingerprint()
    workload.load(CPU)


def attacked(reader: Reader, draw: random.Random, folder: Path) -> Iterator[Outcome]:
    """A try after the other: one file mutated, the data set read, the file put back."""
    data, trace = folder / "data", folder / "trace"
    data.mkdir()
    reader.make(data)
    files = sorted(path for path in data.glob(reader.files) if path.is_file())
    with _accepted(folder):
        reader.read(data)  # as it is, it is read
    while True:
        seed = draw.randrange(2**32)
        own = random.Random(seed)
        file = own.choice(files)
        content = file.read_bytes()
        file.write_bytes(reader.change(content, own, trace))
        with _accepted(folder):
            lost, where = _tried(partial(reader.read, data))
        if trace.exists():
            lost = "ran code that stood in the file"
            trace.unlink()
        file.write_bytes(content)
        yield Outcome(f"{file.relative_to(data)} mutated by seed {seed}: {lost}" if lost else None, where)


@contextmanager
def _accepted(folder: Path) -> Iterator[None]:
    """In it, the small data set is taken for the true one; warnings are not shown."""
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()):
        data_sets.accept(patch, folder)
        yield


def _tried(read: Callable[[], object]) -> tuple[str | None, str]:
    """What was lost, and whether it was read or refused."""
    before, began = _memory("VmRSS"), time.monotonic()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is this try's
    lost, where = None, "read"
    try:
        with deadline(SECONDS):
            read()
    except UserError as error:
        lost, where = _unclear(str(error)), "refused"
    except Exception as error:
        lost = f"{type(error).__name__}: {error}"
    if (took := time.monotonic() - began) > SECONDS:
        lost = f"took {took:.0f} s"
    if (grown := _memory("VmHWM") - before) > MOST_MEMORY:
        lost = f"took {grown >> 20} MB"
    return lost, where


def _unclear(message: str) -> str | None:
    """What is wrong with a refusal: it is to be one sentence that a person reads."""
    if "\n" in message.strip() or "Traceback" in message or not 20 < len(message) < 1000:
        return f"refused in no sentence: {message[:200]!r}"
    return None


def _memory(field: str) -> int:
    """Of this process, in bytes; nothing where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(field)), 0)


def _unpacked(folder: Path) -> None:
    from cmbench.workloads.download import unzip

    inner = folder / "deep" / "deeper"  # what leads out of it stays in the folder, where it is found
    target = inner / "here"
    inner.mkdir(parents=True)
    copy = inner / "copy.zip"  # a broken archive is deleted
    shutil.copyfile(folder / "data.zip", copy)
    try:
        unzip(copy, target, "tiny-imagenet-200")
    finally:
        strays = [str(path) for path in _strays(folder, target)]
        shutil.rmtree(folder / "deep")
        if strays:
            raise AssertionError(f"wrote outside of its folder: {strays}")


def _strays(folder: Path, target: Path) -> Iterator[Path]:
    """What stands where an archive has no business: beside its folder, in it under other names, and far away."""
    allowed = {folder / "data.zip", folder / "deep", target.parent, target.parent / "copy.zip", target}
    found = (*folder.glob("*"), *folder.glob("deep/*"), *target.parent.glob("*"))
    yield from (path for path in found if path not in allowed)
    yield from (path for path in target.glob("*") if path.name != "tiny-imagenet-200")
    yield from (path for path in target.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir()))
    if data_sets.OUTSIDE.exists():
        data_sets.OUTSIDE.unlink()
        yield data_sets.OUTSIDE


READERS: Sequence[Reader] = (
    Reader("CIFAR-10 (pickle)", data_sets.cifar10, "*/data_batch_*", partial(_load, "cifar10")),
    Reader("CIFAR-100 (pickle)", data_sets.cifar100, "*/train", partial(_load, "cifar100")),
    Reader("SVHN (MATLAB)", data_sets.svhn, "*.mat", data_sets.read_svhn),
    Reader("SVHN (MATLAB, inside of its packing)", data_sets.svhn, "*.mat", data_sets.read_svhn, data_sets.inside_mat),
    Reader("MNIST (IDX)", data_sets.mnist, "MNIST/raw/*", data_sets.read_mnist),
    Reader("Fashion-MNIST (IDX, gzip)", data_sets.fashion, "*/raw/*.gz", partial(_load, "fashion_mnist")),
    Reader("Fashion-MNIST (inside of its gzip)", data_sets.fashion, "*/raw/*.gz", partial(_load, "fashion_mnist"),
           data_sets.inside_gzip),
    Reader("notMNIST (PNG)", data_sets.notmnist, "*/*/*.png", data_sets.read_notmnist),
    Reader("notMNIST (tar, gzip)", data_sets.notmnist_archive, "*.tar.gz", data_sets.read_notmnist),
    Reader("notMNIST (inside of its gzip)", data_sets.notmnist_archive, "*.tar.gz", data_sets.read_notmnist,
           data_sets.inside_gzip),
    Reader("notMNIST (links, devices, slips)", data_sets.notmnist_archive, "*.tar.gz", data_sets.read_notmnist,
           data_sets.hostile_tar),
    Reader("TinyImageNet (JPEG and lists)", data_sets.tinyimagenet, "*/**/*", partial(_load, "tinyimagenet_online")),
    Reader("TinyImageNet (lists)", data_sets.tinyimagenet, "*/**/*.txt", partial(_load, "tinyimagenet_online")),
    Reader("TinyImageNet (parquet)", data_sets.tinyimagenet_hub, "*/data/*", partial(_load, "tinyimagenet_online")),
    Reader("TinyImageNet's archive (zip)", data_sets.archive, "data.zip", _unpacked),
    Reader("TinyImageNet's archive (links, slips, bombs)", data_sets.archive, "data.zip", _unpacked,
           data_sets.hostile_zip),
    Reader("ImageNet (JPEG)", data_sets.imagenet, "*/**/*.JPEG", data_sets.read_imagenet),
    Reader("ImageNet (parquet)", data_sets.imagenet_hub, "data/*", data_sets.read_imagenet),
    Reader("PTB (text)", data_sets.ptb_files, "ptb.*", partial(_load, "ptb")),
    Reader("a text for gpt", data_sets.text, "mine.txt", partial(_load, "gpt", text="mine")),
    Reader("a table (parquet)", data_sets.table_parquet, "*.parquet", data_sets.read_table),
    Reader("a table (CSV)", data_sets.table_csv, "*.csv", data_sets.read_table),
    Reader("a table (JSON)", data_sets.table_json, "*.jsonl", data_sets.read_table, data_sets.long_texts),
    Reader("a table of pictures (parquet)", data_sets.pictures, "*.parquet", data_sets.read_pictures),
)  # fmt: skip
ATTACKS: tuple[Attack, ...] = tuple(
    Attack(f"Mutated data files: {reader.name}", HOLDS, TRIES, partial(attacked, reader)) for reader in READERS
)
