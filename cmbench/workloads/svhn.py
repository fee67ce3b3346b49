"""SVHN: house numbers photographed from the street, cut into 73,257 training digits of 32×32 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cmbench.errors import UserError
from cmbench.workloads import data_locations, mat_file
from cmbench.workloads.download import Report, silent

FILE = "train_32x32.mat"
MD5 = "e26dedcc434d2e4c54c9b2d4a06d8373"
"""The published sum, as torchvision has it."""
MOST_BYTES = 250_000_000
"""Of the file, which has 182 million, and of what it unpacks to: 225 million."""


class SVHN:
    """The training digits in MATLAB's format, in torchvision's place for them or in a folder `SVHN`.

    `counts` is the number of images of each class.
    """

    counts: tuple[int, ...] = (4_948, 13_861, 10_585, 8_497, 7_458, 6_882, 5_727, 5_595, 5_045, 4_659)

    published = True
    """Whether what was read are the published files."""

    def __init__(self, data_dir: Path | None) -> None:
        self.data_dir = data_dir

    def _folder(self) -> Path | None:
        return data_locations.find((FILE,), ("SVHN", "svhn"), self.data_dir)

    def is_here(self) -> bool:
        return self._folder() is not None

    def data_files(self) -> list[Path]:
        return data_locations.present(self._folder(), (FILE,))

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes (N, 3, 32, 32) and classes (N,); raises `UserError` for another file."""
        folder = self._folder()
        if folder is None:
            raise data_locations.missing("five_datasets_online", self.data_dir, parts=["SVHN"])
        file = folder / FILE
        content, self.published = data_locations.verified(file, MD5, MOST_BYTES)
        try:
            found = mat_file.matrices(content, MOST_BYTES)
        except ValueError as error:
            raise UserError(f"{file}: not SVHN: {error}") from None
        images, classes = (found.get(name, np.empty(0, np.int8)) for name in ("X", "y"))
        if images.dtype != np.uint8 or images.shape != (32, 32, 3, sum(self.counts)):
            raise UserError(f"{file}: not SVHN: X: {images.shape}: accepted: bytes (32, 32, 3, {sum(self.counts)})")
        if classes.dtype.kind not in "iu" or not ((classes >= 0) & (classes <= 10)).all():
            raise UserError(f"{file}: not SVHN: y: accepted: integers from 1 to 10")
        labels = classes.ravel().astype(np.int64) % 10  # 10 stands for 0
        counts = np.bincount(labels, minlength=10).tolist()
        if counts != list(self.counts):
            raise UserError(f"{file}: not SVHN: images of each digit: {counts}: accepted: {list(self.counts)}")
        return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), labels

    def prepare(self, report: Report = silent) -> None:
        from torchvision.datasets import SVHN as Download

        folder = data_locations.home(self.data_dir) / "SVHN"
        folder.mkdir(parents=True, exist_ok=True)
        Download(folder, split="train", download=True)
