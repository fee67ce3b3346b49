"""notMNIST: the letters A to J in 18,724 fonts and images of 28×28 pixels (its small, hand-cleaned part)."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

from cmbench.errors import UserError, reason
from cmbench.workloads import data_locations
from cmbench.workloads.download import Report, download, silent
from cmbench.workloads.images import opened
from cmbench.workloads.packed import unpacked

NAME = "notMNIST_small"
LETTERS = "ABCDEFGHIJ"
SIZE = 8_458_043
"""Of the published archive, in bytes."""
MOST_UNPACKED = 1 << 27
"""Of an archive, in bytes: the published one unpacks to 40 million."""
MOST_PICTURES = 100_000
MOST_BYTES = 1 << 16
"""Of a picture's file."""


class NotMNIST:
    """Read from the folders `notMNIST_small/A` to `J` of PNG files, or from `notMNIST_small.tar.gz` as it is.

    Files that are no images are skipped: the original has two, one of A and one of F. `counts` is the number of images
    of each class that are left.
    """

    url = "http://yaroslavvb.com/upload/notMNIST/notMNIST_small.tar.gz"
    md5 = "c9890a473a9769fda4bdf314aaf500dd"
    counts: tuple[int, ...] = (1_872, 1_873, 1_873, 1_873, 1_873, 1_872, 1_872, 1_872, 1_872, 1_872)

    published = True
    """Whether what was read are the published files."""

    def __init__(self, data_dir: Path | None) -> None:
        self.data_dir = data_dir

    def _place(self) -> Path | None:
        """The folder, or the archive."""
        home = data_locations.home(self.data_dir)
        for folder in (home, home / "notMNIST"):
            if all((folder / NAME / letter).is_dir() for letter in LETTERS):
                return folder / NAME
            if (folder / f"{NAME}.tar.gz").is_file():
                return folder / f"{NAME}.tar.gz"
        return None

    def is_here(self) -> bool:
        return self._place() is not None

    def data_files(self) -> list[Path]:
        place = self._place()
        if place is None or place.is_file():
            return [place] if place else []
        return [file for letter in LETTERS for file in sorted((place / letter).glob("*.png"))]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes (N, 28, 28), ordered by the names of their files, and classes (N,), 0 for A.

        Raises `UserError` for other files.
        """
        place = self._place()
        if place is None:
            raise data_locations.missing("five_datasets_online", self.data_dir, parts=["notMNIST"])
        images, labels = [], []
        try:
            for letter, _, content in sorted(_folder(place) if place.is_dir() else _archive(place)):
                picture = _decode(content)
                if picture is not None:
                    images.append(picture)
                    labels.append(LETTERS.index(letter))
        except (OSError, EOFError, ValueError, tarfile.TarError, RecursionError) as error:
            # The last one where headers in an archive follow each other without a file.
            raise UserError(f"{place}: not notMNIST: {reason(error)}") from None
        counts = np.bincount(np.array(labels, np.int64), minlength=10).tolist()
        if counts != list(self.counts):
            raise UserError(f"{place}: not notMNIST: images of each letter: {counts}: accepted: {list(self.counts)}")
        return np.stack(images), np.array(labels, np.int64)

    def prepare(self, report: Report = silent) -> None:
        download(self.url, data_locations.home(self.data_dir) / f"{NAME}.tar.gz", report, most=SIZE, md5=self.md5)


def _folder(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Letter, name and content of every PNG file."""
    for letter in LETTERS:
        for file in islice((folder / letter).glob("*.png"), MOST_PICTURES):
            yield letter, file.name, data_locations.read_bytes(file, MOST_BYTES)


def _archive(archive: Path) -> Iterator[tuple[str, str, bytes]]:
    """The same of an archive, which is read from its beginning to its end once: nothing in it can lead back."""
    content = unpacked(data_locations.read_bytes(archive, MOST_UNPACKED), MOST_UNPACKED, gzip=True)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|") as files:
        count = 0
        for member in files:
            if files.offset > len(content):  # tarfile would go there block by block, however far it is
                raise ValueError(f"{member.name[:100]}: is cut off")
            path = PurePosixPath(member.name)
            if path.suffix != ".png" or path.parent.name not in LETTERS or not member.isreg():
                continue
            count += 1
            if member.size > MOST_BYTES or count > MOST_PICTURES:
                raise ValueError(f"{member.name[:100]}: {member.size:,} bytes, picture {count:,}")
            if picture := files.extractfile(member):
                yield path.parent.name, path.name, picture.read(MOST_BYTES)


def _decode(content: bytes) -> np.ndarray | None:
    """The image (28, 28), or None where there is no such image in the file."""
    try:
        return np.asarray(opened(content, "", ("PNG",), (28, 28)).convert("L"))
    except UserError:
        return None
