"""Sharpness against the metric where training runs end: a point per run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmbench.experiments.result import Result
from cmbench.report.columns.sharpness import quantity_of
from cmbench.report.figures.drawing import caption, legend, new_figure
from cmbench.report.figures.training.curves import arrow_of
from cmbench.report.figures.training.quantities import metric_of
from cmbench.report.figures.training.rows import TrainingRuns
from cmbench.report.runs.run import completed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Landing:
    """Where a run of the row `title` ended: the largest eigenvalue of the loss's Hessian, and the metric."""

    title: str
    seed: int
    sharpness: float
    metric: float


def landings_of(runs: TrainingRuns, measured: Sequence[Result]) -> list[Landing]:
    """The landing of each completed run whose sharpness at the end is known.

    By `measured`, the results of `cmbench sharpness`, of which the first eigenvalue at a run's last weights counts;
    where there is none, by its telemetry at the last epoch.
    """
    metric = metric_of(runs.results)
    by_run: dict[str, float | None] = {}
    for each in measured:
        if each.status == "completed" and quantity_of(each) == "top-eigenvalue" and "at" not in each.settings:
            by_run.setdefault(each.settings["of"], each.metrics.get("top_eigenvalue"))
    found = []
    for row in runs.rows if metric else ():
        for result in completed(row.runs):
            sharpness = by_run.get(result.id)
            if sharpness is None:
                sharpness = (result.curves.get("top_eigenvalue") or [None])[-1]
            value = (result.curves.get(metric.name) or [None])[-1] if metric else None
            if sharpness is not None and value is not None:
                found.append(Landing(row.title, result.seed, sharpness, value))
    return found


def sharpness_and_metric(runs: TrainingRuns, landings: Sequence[Landing]) -> Figure:
    """A mark per run, sharpness on a logarithmic axis where all of them are positive."""
    figure, ((axes,),) = new_figure(1, 1, 7.0, 4.4)
    look, handles = runs.styles(), {}
    for title in dict.fromkeys(landing.title for landing in landings):
        own = [landing for landing in landings if landing.title == title]
        style = look[title]
        mark: dict[str, Any] = {"marker": style.marker, "markersize": 8, "markeredgecolor": "white"}
        (handles[title],) = axes.plot(
            [landing.sharpness for landing in own], [landing.metric for landing in own], color=style.colour,
            linestyle="none", alpha=0.85, **mark,
        )  # fmt: skip
    if all(landing.sharpness > 0 for landing in landings):
        axes.set_xscale("log")
    metric = metric_of(runs.results)
    axes.set_xlabel("sharpness λmax at the end (left: flatter)")
    axes.set_ylabel(f"final {metric.title}{arrow_of(metric)}" if metric else "")
    axes.grid(alpha=0.3)
    legend(figure, handles)
    caption(figure, f"{runs.text()} A mark per run: the largest eigenvalue of the loss's Hessian, and the metric.")
    return figure
