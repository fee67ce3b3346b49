"""MNIST: 60,000 handwritten digits of 28×28 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cmbench.workloads import data_locations
from cmbench.workloads.download import Report, silent
from cmbench.workloads.fashion_mnist import IMAGES, LABELS, read_images


class MNIST:
    """The training images in torchvision's layout; `counts` is the number of images of each class."""

    counts: tuple[int, ...] = (5_923, 6_742, 5_958, 6_131, 5_842, 5_421, 5_918, 6_265, 5_851, 5_949)

    published = True
    """Whether what was read are the published files."""

    def __init__(self, data_dir: Path | None) -> None:
        self.data_dir = data_dir

    def _folder(self) -> Path | None:
        # Not in the folder itself: Fashion-MNIST's files have the same names.
        folders = (data_locations.home(self.data_dir) / sub for sub in ("MNIST/raw", "mnist"))
        return next((folder for folder in folders if data_locations.holds(folder, (IMAGES, LABELS))), None)

    def is_here(self) -> bool:
        return self._folder() is not None

    def data_files(self) -> list[Path]:
        return data_locations.present(self._folder(), (IMAGES, LABELS))

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes (N, 28, 28) and classes (N,); raises `UserError` for other files."""
        folder = self._folder()
        if folder is None:
            raise data_locations.missing("five_datasets_online", self.data_dir, parts=["MNIST"])
        return read_images(folder, "MNIST", self.counts)

    def prepare(self, report: Report = silent) -> None:
        from torchvision.datasets import MNIST as Download

        Download(data_locations.home(self.data_dir), download=True)
