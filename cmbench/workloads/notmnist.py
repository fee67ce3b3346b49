"""notMNIST: the letters A to J in 18,724 fonts and images of 28×28 pixels (its small, hand-cleaned part)."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from cmbench.errors import UserError
from cmbench.workloads import data_locations
from cmbench.workloads.download import Report, download, silent

NAME = "notMNIST_small"
LETTERS = "ABCDEFGHIJ"


class NotMNIST:
    """Read from the folders `notMNIST_small/A` to `J` of PNG files, or from `notMNIST_small.tar.gz` as it is.

    Files that are no images are skipped: the original has two, one of A and one of F. `counts` is the number of images
    of each class that are left.
    """

    url = "http://yaroslavvb.com/upload/notMNIST/notMNIST_small.tar.gz"
    counts: tuple[int, ...] = (1_872, 1_873, 1_873, 1_873, 1_873, 1_872, 1_872, 1_872, 1_872, 1_872)

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
        except (OSError, EOFError, tarfile.TarError) as error:
            raise UserError(f"{place}: not notMNIST: {type(error).__name__}: {error}") from None
        counts = np.bincount(np.array(labels, np.int64), minlength=10).tolist()
        if counts != list(self.counts):
            raise UserError(f"{place}: not notMNIST: images of each letter: {counts}: accepted: {list(self.counts)}")
        return np.stack(images), np.array(labels, np.int64)

    def prepare(self, report: Report = silent) -> None:
        download(self.url, data_locations.home(self.data_dir) / f"{NAME}.tar.gz", report)


def _folder(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Letter, name and content of every PNG file."""
    for letter in LETTERS:
        for file in (folder / letter).glob("*.png"):
            yield letter, file.name, file.read_bytes()


def _archive(archive: Path) -> Iterator[tuple[str, str, bytes]]:
    with tarfile.open(archive) as files:
        for member in files:
            path = PurePosixPath(member.name)
            is_picture = path.suffix == ".png" and path.parent.name in LETTERS
            if is_picture and member.isfile() and (content := files.extractfile(member)):
                yield path.parent.name, path.name, content.read()


def _decode(content: bytes) -> np.ndarray | None:
    """The image (28, 28), or None where there is no such image in the file."""
    try:
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    except (OSError, SyntaxError):  # what Pillow raises for a file that is cut off, empty or something else
        return None
    return picture if picture.shape == (28, 28) else None
