"""SVHN: house numbers photographed from the street, cut into 73,257 training digits of 32×32 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cmbench.errors import UserError
from cmbench.workloads import data_locations
from cmbench.workloads.download import Report, silent

FILE = "train_32x32.mat"


class SVHN:
    """The training digits in MATLAB's format, in torchvision's place for them or in a folder `SVHN`.

    `counts` is the number of images of each class.
    """

    counts: tuple[int, ...] = (4_948, 13_861, 10_585, 8_497, 7_458, 6_882, 5_727, 5_595, 5_045, 4_659)

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
        from scipy.io import loadmat

        folder = self._folder()
        if folder is None:
            raise data_locations.missing("five_datasets_online", self.data_dir, parts=["SVHN"])
        file = folder / FILE
        try:
            content = loadmat(file)
            images = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))
            labels = content["y"].ravel().astype(np.int64) % 10  # 10 stands for 0
        except Exception as error:
            # A file of another format may fail in any way.
            raise UserError(f"{file}: not SVHN: {type(error).__name__}: {error}") from None
        if (
            images.dtype != np.uint8
            or images.shape != (sum(self.counts), 3, 32, 32)
            or np.bincount(labels, minlength=10).tolist() != list(self.counts)
        ):
            raise UserError(f"{file}: not SVHN: {len(images):,} images of {images.shape[1:]}")
        return images, labels

    def prepare(self, report: Report = silent) -> None:
        from torchvision.datasets import SVHN as Download

        folder = data_locations.home(self.data_dir) / "SVHN"
        folder.mkdir(parents=True, exist_ok=True)
        Download(folder, split="train", download=True)
