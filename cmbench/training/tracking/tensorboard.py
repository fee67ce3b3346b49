"""`--track tensorboard`: runs as TensorBoard shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cmbench.experiments.store import ResultStore
from cmbench.training.tracking.base import Board, Conclusion, Tracked, Tracker, text_of

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "boards"


@dataclass(frozen=True)
class TensorBoard(Tracker):
    """Event files in `where/SUITE/OPTIMIZER/RUNID`; the horizontal axis counts steps. By default in `boards`."""

    name: ClassVar[str] = "tensorboard"
    accepted: ClassVar[str] = "a folder"

    @property
    def packages(self) -> tuple[str, ...]:
        return ("tensorboard",)

    def open(self, run: Tracked) -> Board:
        folder = ResultStore(self.where or FOLDER).path(run.spec, "")
        folder.mkdir(parents=True, exist_ok=True)
        return _Board(folder, run.settings)


class _Board(Board):
    _writer: SummaryWriter | None = None

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder, self._settings = folder, settings

    def goes_on(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What an earlier attempt has written of later steps is forgotten.
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)
        rows = [f"| {name} | {text_of(value)} |" for name, value in self._settings.items()]
        self._writer.add_text("settings", "\n".join(["| setting | |", "|---|---|", *rows]), step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        assert self._writer, "a run goes on before it gets anywhere"
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def end(self, step: int, conclusion: Conclusion | None) -> None:
        if self._writer is None:
            return
        if conclusion:
            said = f"{conclusion.status}: {conclusion.error}" if conclusion.error else conclusion.status
            self._writer.add_text("status", said, step)
            if conclusion.values:
                plain = {
                    name: value if isinstance(value, (bool, int, float)) else text_of(value)
                    for name, value in self._settings.items()
                }
                self._writer.add_hparams(plain, dict(conclusion.values), run_name=".", global_step=step)
        self._writer.close()
