"""The columns of what telemetry records while a run is trained: at its best epoch, and at its last one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from cmbench.experiments.result import Result
from cmbench.report.columns.metrics import TrainingColumn, mean_column
from cmbench.report.table import Direction


@dataclass(frozen=True)
class Recorded:
    """A curve that telemetry adds to a result, as tables show it: its title, and what it is in words."""

    name: str
    title: str
    direction: Direction | None
    meaning: str


RECORDED = (
    Recorded("gradient_norm", "gradient norm", None, "Mean L2 norm of the gradients that the steps of an epoch took"),
    Recorded(
        "top_eigenvalue", "telemetry λmax", "lower",
        "Largest eigenvalue of the Hessian of the training loss, on the telemetry's fixed subset of training examples",
    ),
    Recorded(
        "m_sharpness", "m-sharpness", "lower",
        "Sharpness in batches of m examples: by how much the training loss rises within a ball around the weights, on "
        "the telemetry's fixed subset of training examples",
    ),
    Recorded("buffer_variance", "buffer variance", None, "Variance of the buffer's entries, averaged over parameters"),
    Recorded(
        "buffer_agreement", "buffer agreement", None,
        "Mean cosine similarity of the buffer's entry of the highest norm with its other entries",
    ),
    Recorded(
        "buffer_cosine_similarity", "buffer agreement by priority", None,
        "Mean cosine similarity of the buffer's entry of the highest decayed priority with its other entries",
    ),
    Recorded("buffer_accepted", "accepted per epoch", None, "Number of entries that the buffer accepted in an epoch"),
)  # fmt: skip
"""What telemetry records, in the order of the columns."""


def last_until(curve: Sequence[float | None], epoch: float | None) -> float | None:
    """The last value that was measured up to `epoch`, counted from 1; None where there is none."""
    return last_of(curve[: int(epoch)]) if epoch is not None else None


def last_of(curve: Sequence[float | None]) -> float | None:
    """The last value that was measured; None where there is none."""
    return next((value for value in reversed(curve) if value is not None), None)


@cache
def at_best(recorded: Recorded) -> TrainingColumn:
    """`NAME_best`: as last measured up to the epoch with the best metric."""

    def read(result: Result) -> float | None:
        return last_until(result.curves.get(recorded.name, []), result.metrics.get("epoch_best"))

    return mean_column(
        f"{recorded.name}_best", f"{recorded.title} at best", recorded.direction, "significant",
        f"{recorded.meaning}, as last measured up to the epoch in which the metric on the validation set is best.",
        read, optional=True,
    )  # fmt: skip


@cache
def at_end(recorded: Recorded) -> TrainingColumn:
    """`NAME_final`: as last measured."""

    def read(result: Result) -> float | None:
        return last_of(result.curves.get(recorded.name, []))

    return mean_column(
        f"{recorded.name}_final", f"final {recorded.title}", recorded.direction, "significant",
        f"{recorded.meaning}, as last measured in the run.",
        read, optional=True,
    )  # fmt: skip


COLUMNS = tuple(column(recorded) for recorded in RECORDED for column in (at_best, at_end))


def telemetry_columns(results: Iterable[Result]) -> list[TrainingColumn]:
    """Those of the curves that any of the runs recorded."""
    names = {name for result in results for name in result.curves}
    return [column(recorded) for recorded in RECORDED if recorded.name in names for column in (at_best, at_end)]
