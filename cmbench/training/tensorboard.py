"""The curves of a run as TensorBoard shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cmbench.errors import UserError
from cmbench.experiments.listener import Progress
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.store import ResultStore
from cmbench.training.observer import Observer


class TensorBoard(Observer):
    """Writes what happens to `DIRECTORY/SUITE/OPTIMIZER/RUNID`; the horizontal axis counts steps.

    Raises `UserError` where TensorBoard is not installed.
    """

    def __init__(self, directory: Path, spec: RunSpec) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "--tensorboard: needs the package tensorboard: pip install 'cmbench[tensorboard]'"
            ) from None
        self._writer = SummaryWriter(str(ResultStore(directory).path(spec, "")))

    def progress(self, now: Progress) -> None:
        self._writer.add_scalar("train/loss", now.loss, now.step)

    def epoch_done(self, step: int, epoch: int, values: Mapping[str, float | None]) -> bool:
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"epoch/{name}", value, step)
        self._writer.flush()
        return False

    def close(self) -> None:
        """No more will be written."""
        self._writer.close()
