"""Figures 8, 9, 10, 19 and 20 of the paper in its arrangement, from whatever results of their suites there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.report.columns.telemetry import last_of
from cmbench.report.figures.drawing import caption, legend, new_figure
from cmbench.report.figures.training.axis import Axis
from cmbench.report.figures.training.curves import align, arrow_of, draw_panel, in_order, key_to
from cmbench.report.figures.training.quantities import known, metric_of
from cmbench.report.figures.training.rows import TrainingRuns
from cmbench.report.runs.by_optimizer import OptimizerRuns
from cmbench.report.runs.run import completed
from cmbench.report.statistics import summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"cifar10": "#0072B2", "cifar100": "#D55E00"}
_SUITES: Mapping[int, tuple[str, ...]] = {
    8: ("figure8",),
    9: ("figure9_cifar10", "figure9_cifar100"),
    10: (
        *(f"figure10_{data}_b{size}" for data in ("cifar10", "cifar100") for size in (32, 64, 128, 256)),
        "figure9_cifar10",
        "figure9_cifar100",
    ),
    19: ("figure19_cifar10", "figure19_cifar100"),
    20: ("table14",),
}
NUMBERS = tuple(_SUITES)
"""The figures of the paper that show training and are drawn in its arrangement."""
_AGREEMENTS = ("buffer_agreement", "buffer_cosine_similarity")
"""Figure 8 shows the first; older results hold the second alone."""


@dataclass(frozen=True)
class Point:
    """Mean and sample standard deviation of `n` values at a place on the horizontal axis."""

    x: float
    mean: float
    spread: float | None
    n: int


def place_figure(number: int, runs: Iterable[TrainingRuns], axis: Axis) -> Figure | None:
    """Figure `number`; None where no run of its suites can be shown in it.

    Of each suite the settings of its file are shown where there are results with them, else the first others; the
    caption says how these differ.
    """
    chosen: dict[str, TrainingRuns] = {}
    for each in runs:
        name = each.group.suite.name
        if name in _SUITES[number] and (name not in chosen or (_differs(chosen[name]) and not _differs(each))):
            chosen[name] = each
    ordered = {name: chosen[name] for name in _SUITES[number] if name in chosen}
    return _DRAWN[number](ordered, axis) if ordered else None


def points_of(
    rows: Sequence[OptimizerRuns], x: Callable[[OptimizerRuns], Any], curve: str | None, metric: str | None = None
) -> list[Point]:
    """A point for each row, over its completed seeds: the last value of their `curve`, or their `metric`."""
    points = []
    for row in rows:
        results = completed(row.runs)
        values = [
            result.metrics.get(metric) if metric else last_of(result.curves.get(curve or "", [])) for result in results
        ]
        summary = summarize(values)
        if summary.mean is not None:
            points.append(Point(float(x(row)), summary.mean, summary.std, summary.n))
    return sorted(points, key=lambda point: point.x)


def _differs(runs: TrainingRuns) -> bool:
    return any(difference.from_suite for difference in runs.group.differs)


def _figure8(chosen: Mapping[str, TrainingRuns], axis: Axis) -> Figure | None:
    (runs,) = chosen.values()
    recorded = {name for result in runs.results for name in result.curves}
    agreement = next((name for name in _AGREEMENTS if name in recorded), _AGREEMENTS[0])
    names = ("top_eigenvalue", "distance", "buffer_variance", agreement)
    figure, panels = new_figure(2, 2, 4.6, 3.3)
    handles: dict[str, Any] = {}
    for axes, name in zip(panels.flat, names, strict=True):
        handles |= draw_panel(axes, runs, known(name), axis)
        if name not in recorded:
            axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color="0.5")
    align(list(panels.flat))
    legend(figure, in_order(handles, runs))
    which = {
        "buffer_agreement": "Agreement: mean cosine similarity of the entry of the highest norm with the others.",
        "buffer_cosine_similarity": "Agreement: mean cosine similarity of the entry of the highest decayed priority "
        "with the others; the paper's is of the highest norm, which these results do not hold.",
    }[agreement]
    caption(figure, f"Figure 8. {runs.text()} {which} {key_to(runs)}")
    return figure


def _figure19(chosen: Mapping[str, TrainingRuns], axis: Axis) -> Figure | None:
    figure, (panels,) = new_figure(1, len(chosen), 5, 3.8)
    handles: dict[str, Any] = {}
    for axes, (name, runs) in zip(panels, chosen.items(), strict=True):
        handles |= draw_panel(axes, runs, known("m_sharpness"), axis)
        axes.set_title(f"m-sharpness on {_data(name)} ↓", fontsize=10)
    first, *_ = chosen.values()
    legend(figure, in_order(handles, first))
    caption(figure, f"Figure 19. {' '.join(runs.text() for _, runs in chosen.items())} {key_to(first)}")
    return figure


def _figure9(chosen: Mapping[str, TrainingRuns], axis: Axis) -> Figure | None:
    points = {name: points_of(runs.rows, _capacity, "top_eigenvalue") for name, runs in chosen.items()}
    if not any(points.values()):
        return None
    figure, (panels,) = new_figure(1, len(points), 4.4, 3.6)
    for axes, (name, found) in zip(panels, points.items(), strict=True):
        _draw_points(axes, found, name)
        axes.set_title(f"sharpness λmax on {_data(name)} ↓", fontsize=10)
        axes.set_xlabel("buffer size C")
    caption(figure, f"Figure 9. {_texts(chosen)} Sharpness at the end; bars: ± one standard deviation over seeds.")
    return figure


def _figure10(chosen: Mapping[str, TrainingRuns], axis: Axis) -> Figure | None:
    batches: dict[str, list[Point]] = {}
    buffers: dict[str, list[Point]] = {}
    metrics = {metric for runs in chosen.values() if (metric := metric_of(runs.results))}
    if len(metrics) != 1:
        return None
    (metric,) = metrics
    best = f"{metric.name}_best"
    for name, runs in chosen.items():
        if name.startswith("figure10"):
            batches.setdefault(_data(name), []).extend(points_of(runs.rows, _batch_size, None, best))
        else:
            buffers[_data(name)] = points_of(runs.rows, _capacity, None, best)
    figure, (panels,) = new_figure(1, 2, 4.6, 3.8)
    handles: dict[str, Any] = {}
    for axes, by_data, title in zip(panels, (batches, buffers), ("batch size", "buffer size C"), strict=True):
        for data, points in by_data.items():
            handles[data] = _draw_points(axes, sorted(points, key=lambda point: point.x), data, joined=True)
        axes.set_xlabel(title)
        axes.set_title(f"best {metric.title}{arrow_of(metric)}", fontsize=10)
        if not by_data:
            axes.text(0.5, 0.5, "no results", transform=axes.transAxes, ha="center", color="0.5")
    legend(figure, handles)
    caption(figure, f"Figure 10. {_texts(chosen)} Bars: ± one standard deviation over seeds.")
    return figure


def _figure20(chosen: Mapping[str, TrainingRuns], axis: Axis) -> Figure | None:
    (runs,) = chosen.values()
    points = points_of(runs.rows, lambda row: row.optimizer.hyperparameters["lr"], "top_eigenvalue")
    if not points:
        return None
    figure, ((axes,),) = new_figure(1, 1, 5.4, 3.8)
    _draw_points(axes, points, "cifar10")
    axes.set_xlabel("learning rate of Adam")
    axes.set_title("sharpness λmax ↓", fontsize=10)
    caption(figure, f"Figure 20. {runs.text()} Sharpness at the end; bars: ± one standard deviation over seeds.")
    return figure


_DRAWN: Mapping[int, Callable[[Mapping[str, TrainingRuns], Axis], Figure | None]] = {
    8: _figure8,
    9: _figure9,
    10: _figure10,
    19: _figure19,
    20: _figure20,
}


def _capacity(row: OptimizerRuns) -> Any:
    return row.optimizer.hyperparameters["capacity"]


def _batch_size(row: OptimizerRuns) -> Any:
    return row.runs[0].settings["batch_size"]


def _data(suite: str) -> str:
    """`cifar10` for `figure10_cifar10_b32`."""
    return suite.split("_")[1]


def _texts(chosen: Mapping[str, TrainingRuns]) -> str:
    """What the suites are, by name, with the description and settings of the first alone: they are sisters."""
    first, *others = chosen.values()
    names = ", ".join(runs.group.suite.name for runs in others)
    return first.text() + (f" Likewise {names}." if names else "")


def _draw_points(axes: Axes, points: Sequence[Point], name: str, *, joined: bool = False) -> Any:
    """Points with bars of one standard deviation on a logarithmic axis with their places as ticks; the handle."""
    places = sorted({point.x for point in points} | {float(label) for label in _labels(axes)})
    _set_labels(axes, places)
    colour = next((c for data, c in reversed(_COLOURS.items()) if data in name), "#000000")
    return axes.errorbar(
        [point.x for point in points],
        [point.mean for point in points],
        [point.spread if point.spread is not None else np.nan for point in points],
        color=colour, marker="s" if colour == _COLOURS["cifar100"] else "o", markersize=7, markeredgecolor="white",
        capsize=4, linestyle="-" if joined else "none", linewidth=1.5,
    )  # fmt: skip


def _labels(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()] if axes.get_xscale() == "log" else []


def _set_labels(axes: Axes, places: Sequence[float]) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(places, [f"{place:g}" for place in places])
    if places:
        axes.set_xlim(places[0] / 1.4, places[-1] * 1.4)
    axes.grid(alpha=0.3)
