"""What the curves of training runs show: in which order, under which title, on which scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cmbench.experiments.result import Result
from cmbench.report.columns.metrics import metric_called
from cmbench.report.table import Direction


@dataclass(frozen=True)
class Quantity:
    """A curve of training runs: its name in a result, its title, which direction is better, and whether its values
    spread over so many orders of magnitude that they want a logarithmic axis.
    """

    name: str
    title: str
    direction: Direction | None = None
    logarithmic: bool = False


RECORDED = (
    Quantity("distance", "distance ‖θ−θ₀‖"),
    Quantity("gradient_norm", "gradient norm ‖g‖", None, True),
    Quantity("top_eigenvalue", "sharpness λmax", "lower", True),
    Quantity("m_sharpness", "m-sharpness", "lower", True),
    Quantity("buffer_variance", "variance in the buffer", None, True),
    Quantity("buffer_agreement", "agreement in the buffer (with the highest norm)"),
    Quantity("buffer_cosine_similarity", "agreement in the buffer (with the highest priority)"),
    Quantity("buffer_accepted", "entries accepted per epoch"),
)
"""What is recorded beside loss and metric: always (the distance), or where telemetry asks for it."""
TRAIN_LOSS = Quantity("train_loss", "training loss", "lower", True)
_OTHERS = {"epoch", "task", "lr", "train_loss", "val_loss", "val_loss_average"}
"""Curves that have no panel of their own, or theirs already."""


def known(name: str) -> Quantity:
    """What is recorded under that name."""
    return next((quantity for quantity in RECORDED if quantity.name == name), Quantity(name, name.replace("_", " ")))


def metric_of(results: Sequence[Result]) -> Quantity | None:
    """The validation metric that the runs are judged by; None where no run says."""
    for result in results:
        if result.judged_by:
            metric = metric_called(result.judged_by.metric, result.judged_by.better)
            return Quantity(f"val_{metric.name}", f"validation {metric.title}", result.judged_by.better)
    return None


def quantities_of(results: Sequence[Result]) -> list[Quantity]:
    """The quantities that any of the runs recorded: loss and metric first, then those that are known, then others."""
    names = dict.fromkeys(name for result in results for name, values in result.curves.items() if _has_value(values))
    metric = metric_of(results)
    wanted = [TRAIN_LOSS, *([metric] if metric else []), *RECORDED]
    found = [quantity for quantity in wanted if quantity.name in names]
    seen = _OTHERS | {quantity.name for quantity in found}
    return [*found, *(_other(name, metric) for name in names if name not in seen)]


def _other(name: str, metric: Quantity | None) -> Quantity:
    if metric and name == f"{metric.name}_average":
        return Quantity(name, f"{metric.title} of average", metric.direction)
    return known(name)


def _has_value(values: Sequence[object]) -> bool:
    return any(isinstance(value, (int, float)) for value in values)
