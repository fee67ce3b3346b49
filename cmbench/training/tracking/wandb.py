"""`--track wandb`: runs as Weights & Biases shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cmbench.errors import UserError
from cmbench.training.tracking.base import LOSS, Board, Conclusion, Tracked, Tracker

if TYPE_CHECKING:
    import wandb

PROJECT = "cmbench"
_FINISH_SECONDS = 60.0
"""For what is still to be uploaded at a run's end; the rest stays on disk, for `wandb sync`."""


@dataclass(frozen=True)
class WandB(Tracker):
    """A run of W&B under the id of ours, in the project `where`: `[ENTITY/]PROJECT`, by default `cmbench`.

    One that goes on from its checkpoint is resumed; one that begins from nothing takes the place of what was there. As
    W&B has it, `WANDB_MODE=offline` keeps everything in `./wandb`, `WANDB_DIR` elsewhere.
    """

    name: ClassVar[str] = "wandb"
    accepted: ClassVar[str] = "[ENTITY/]PROJECT"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"([^/]+/)?[^/]+", self.where or PROJECT):
            raise UserError(f"--track {self}: accepted: {self.name}:{self.accepted}")

    @property
    def packages(self) -> tuple[str, ...]:
        return ("wandb",)

    def open(self, run: Tracked) -> Board:
        import wandb

        entity, _, project = (self.where or PROJECT).rpartition("/")
        settings = wandb.Settings(
            silent=True,
            console="off",
            reinit="create_new",
            finish_timeout=_FINISH_SECONDS,
            finish_timeout_raises=True,
        )
        wandb.setup(settings)
        return _Board(
            wandb.init(
                entity=entity or None,
                project=project,
                id=run.spec.id,
                resume="allow" if run.resumes else None,
                name=run.spec.title,
                group=run.spec.suite.name,
                config=dict(run.settings),
                allow_val_change=True,
                settings=settings,
            )
        )


class _Board(Board):
    """W&B takes nothing more for a step that it has: all of a step is written at once, when the next one comes."""

    def __init__(self, run: wandb.Run) -> None:
        self._run = run
        self._step, self._row = 0, dict[str, float]()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if step != self._step:
            self._write_row()
        self._step = step
        self._row |= values

    def _write_row(self) -> None:
        if self._row:
            self._run.log(self._row, step=self._step, commit=True)
        self._row = {}

    def end(self, step: int, conclusion: Conclusion | None) -> None:
        interrupted = conclusion is None or conclusion.status == "interrupted"
        if not (interrupted and set(self._row) == {LOSS}):  # the end of its epoch may be measured when it goes on
            self._write_row()
        if conclusion:
            error = {"error": conclusion.error} if conclusion.error else {}
            self._run.summary.update({"status": conclusion.status, **error, **conclusion.values})
        self._run.finish(exit_code=int(conclusion is not None and conclusion.status != "completed"))
