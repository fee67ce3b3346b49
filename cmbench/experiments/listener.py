"""Who is told how a plan goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result


@dataclass(frozen=True)
class Progress:
    """Where a training run is: steps done of all, the latest loss that was read, the last validation metric."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float
    metric: float | None


class Listener:
    """Hears how a plan goes on; this one stays silent."""

    def skipped(self, spec: RunSpec, result: Result) -> None:
        """A finished result of `spec` was found."""

    def planned(self, todo: Sequence[RunSpec]) -> None:
        """These will be run; the others were finished."""

    def started(self, spec: RunSpec) -> None:
        """A run begins."""

    def progress(self, spec: RunSpec, now: Progress) -> None:
        """About twice a second while a training run goes on."""

    def epoch_done(self, spec: RunSpec, epoch: int, values: Mapping[str, float | None]) -> bool:
        """An epoch of a training in this process has added `values` to its curves; True stops it with a checkpoint."""
        return False

    def remark(self, spec: RunSpec, text: str) -> None:
        """Something that whoever has started the run should know of how it goes on."""

    def waiting(self, specs: Sequence[RunSpec]) -> None:
        """Other processes are at all that is left: these."""

    def found(self, spec: RunSpec, result: Result) -> None:
        """Another process has finished the run in the meantime."""

    def ended(self, spec: RunSpec, result: Result) -> None:
        """A result was written."""

    def taken_over(self, spec: RunSpec, result: Result) -> None:
        """The result of an equal run was kept for `spec` too; `result.taken_from` says which."""

    def failed(self, spec: RunSpec, details: str) -> None:
        """A run raised; `details` is the traceback. Its result is written all the same."""
