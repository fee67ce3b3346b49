"""Learning curves: a panel per quantity, a line with a band per optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.report.figures.drawing import Style, caption, legend, new_figure
from cmbench.report.figures.training.axis import TITLES, Axis
from cmbench.report.figures.training.quantities import TRAIN_LOSS, Quantity, quantities_of
from cmbench.report.figures.training.rows import TrainingRuns
from cmbench.report.figures.training.series import Line, Series, series_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 3
"""Up to so many runs are drawn one by one: a deviation of so few says little."""
_DECADES = 1.5
"""A logarithmic axis has to be worth it: the values span so many powers of ten."""


def learning_curves(runs: TrainingRuns, axis: Axis = "epochs") -> Figure:
    """The figure of one set of settings: a panel for each quantity that any run recorded."""
    quantities = quantities_of(runs.results) or [TRAIN_LOSS]  # where every run diverged in its first epoch
    columns = len(quantities) if len(quantities) <= 3 else math.ceil(len(quantities) / math.ceil(len(quantities) / 4))
    figure, panels = new_figure(math.ceil(len(quantities) / columns), columns, 4.2, 3.3)
    handles: dict[str, Any] = {}
    for axes, quantity in zip(panels.flat, quantities, strict=False):
        handles |= draw_panel(axes, runs, quantity, axis)
    for axes in list(panels.flat)[len(quantities) :]:
        axes.set_axis_off()
    align(list(panels.flat)[: len(quantities)])
    legend(figure, in_order(handles, runs))
    caption(figure, f"{runs.text()} {key_to(runs)}")
    return figure


def draw_panel(axes: Axes, runs: TrainingRuns, quantity: Quantity, axis: Axis) -> dict[str, Any]:
    """Draws the series of one quantity; the handles of a legend by title."""
    series, look = series_of(runs.rows, quantity.name, axis, runs.epoch_steps), runs.styles()
    logarithmic = quantity.logarithmic and _spans_decades(series)
    if logarithmic:
        axes.set_yscale("log")
    handles = {each.title: _draw(axes, each, look[each.title], logarithmic) for each in series}
    for each in series:
        for line in each.diverged:
            _mark_end(axes, line, line.diverged_at or 0, look[each.title])
    axes.set_title(f"{quantity.title}{arrow_of(quantity)}", fontsize=10)
    axes.set_xlabel(TITLES[axis])
    axes.grid(alpha=0.3)
    if axis == "epochs":
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_xlim(left=0)
    if any(each.diverged for each in series):
        from matplotlib.lines import Line2D

        handles["diverged"] = Line2D(
            [], [], color="0.2", marker="X", linestyle="none", markersize=9, markeredgecolor="white"
        )
    return handles


def arrow_of(quantity: Quantity) -> str:
    """` ↑` where higher is better, ` ↓` where lower is."""
    return {"higher": " ↑", "lower": " ↓", None: ""}[quantity.direction]


def key_to(runs: TrainingRuns) -> str:
    """What the lines and bands of these runs stand for."""
    counts = [sum(run.status == "completed" for run in row.runs) for row in runs.rows]
    parts = ["Lines: mean over the seeds that completed"]
    if any(count > FEW for count in counts):
        parts.append("bands: ± one standard deviation")
    if any(1 < count <= FEW for count in counts):
        parts.append("thin: each seed")
    if any(run.status == "diverged" for row in runs.rows for run in row.runs):
        parts.append("dotted, with a cross at its end: a run that diverged, in no mean")
    return f"{'; '.join(parts)}."


def _draw(axes: Axes, series: Series, style: Style, logarithmic: bool) -> Any:
    look: dict[str, Any] = {"color": style.colour, "linestyle": style.dashes}
    done = [line for line in series.lines if line.diverged_at is None]
    for line in series.diverged:
        axes.plot(line.x, line.y, color=style.colour, linestyle=":", linewidth=1.1, alpha=0.8, zorder=3)
    if 1 < len(done) <= FEW:
        for line in done:
            axes.plot(line.x, line.y, linewidth=0.6, alpha=0.45, zorder=2, **look)
    elif len(done) > FEW:
        axes.fill_between(*_band(series, logarithmic), color=style.colour, alpha=0.13, linewidth=0)
    (handle,) = axes.plot(
        series.x, series.mean, marker=style.marker, markersize=4.5 * style.weight**0.5,
        markevery=max(1, len(series.x) // 8), markeredgecolor="white", markeredgewidth=0.5,
        linewidth=1.5 * style.weight**0.5, zorder=4, **look,
    )  # fmt: skip
    return handle


def _band(series: Series, logarithmic: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, mean − s, mean + s; on a logarithmic axis it ends at the smallest value of any run, since below 0 is none."""
    low, high = series.mean - series.spread, series.mean + series.spread
    if logarithmic:
        low = np.maximum(low, min(float(line.y.min()) for line in series.lines if len(line.y)))
    return series.x, low, high


def _mark_end(axes: Axes, line: Line, x: float, style: Style) -> None:
    """A cross where a run diverged: at its last value, at the upper edge where it has none."""
    look: dict[str, Any] = {
        "color": style.colour, "marker": "X", "markersize": 9, "markeredgecolor": "white", "zorder": 6,
        "linestyle": "none", "clip_on": False,
    }  # fmt: skip
    if len(line.y):
        axes.plot(x, line.y[-1], **look)
    else:
        axes.plot(x, 0.97, transform=axes.get_xaxis_transform(), **look)


def _spans_decades(series: Sequence[Series]) -> bool:
    values = np.concatenate([line.y for each in series for line in each.lines] or [np.empty(0)])
    return bool(len(values) and values.min() > 0 and np.log10(values.max() / values.min()) >= _DECADES)


def align(panels: Sequence[Axes]) -> None:
    """Gives panels the same horizontal axis, although some quantities are not measured at every epoch."""
    limits = np.array([axes.get_xlim() for axes in panels])
    for axes in panels:
        axes.set_xlim(limits[:, 0].min(), limits[:, 1].max())


def in_order(handles: Mapping[str, Any], runs: TrainingRuns) -> dict[str, Any]:
    """The handles in the order of the rows, what stands for something else last."""
    titles = [row.title for row in runs.rows]
    return {title: handles[title] for title in [*titles, *handles] if title in handles}
