"""Figures of paths on surfaces: all together, by start, beside their losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cmbench.experiments.result import Result
from cmbench.report.captions import optimizer_text
from cmbench.report.figures.chosen import label_start, name_of, shares
from cmbench.report.figures.drawing import (
    Views,
    contours,
    count_paths,
    draw_path,
    legend,
    mark_minimum,
    mark_start,
    new_figure,
    optimizer_of,
    path,
    styles,
    window,
)
from cmbench.report.figures.losses import LOSS_KEY, draw_losses

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KEY = "Squares: starts; diamond: global minimum; coloured marks: ends."
_TOGETHER, _PANELS, _PANELS_EACH = 4, 9, 3
"""How many starts are drawn in one panel, in panels of their own, and in those where there are several surfaces."""


def paths_together(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """A few starts with every optimizer in one panel (Figure 1)."""
    figure, ((axes,),) = new_figure(1, 1, 6.4, 6)
    lanes = range(min(_TOGETHER, *(count_paths(result) for result in results)))
    legend(figure, _paths(axes, results, views, list(lanes)))
    return figure, f"{_KEY} {shares(results, 'reached_global')}"


def paths_by_start(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """A panel per start with the paths of every optimizer (Figures 13 and 14); a row per surface (Figure 15)."""
    surfaces = list(dict.fromkeys(result.settings["surface"] for result in results))
    starts = min(_PANELS_EACH if len(surfaces) > 1 else _PANELS, *(count_paths(result) for result in results))
    columns = min(3, starts)
    rows_each = -(-starts // columns)
    figure, panels = new_figure(rows_each * len(surfaces), columns, 3.3, 3.3)
    handles: dict[str, Any] = {}
    for block, surface in enumerate(surfaces):
        own = [result for result in results if result.settings["surface"] == surface]
        for lane in range(rows_each * columns):
            axes = panels[block * rows_each + lane // columns, lane % columns]
            if lane >= starts:
                axes.axis("off")
                continue
            handles |= _paths(axes, own, views, [lane])
            name = name_of(own[0], lane)
            axes.set_title(f"{surface}, {name}" if len(surfaces) > 1 else name, fontsize=9)
            axes.tick_params(labelsize=7)
    legend(figure, handles)
    return figure, f"Each panel on its own scale. {_KEY} {shares(results, 'reached_global')}"


def loss_and_paths(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """Losses over the steps, and the paths from the first start (Figures 4 and 16)."""
    figure, ((left, right),) = new_figure(1, 2, 5.4, 4.6)
    handles = draw_losses(left, results)
    handles |= _paths(right, results, views, [0])
    right.set_title(f"paths from {name_of(results[0], 0)}", fontsize=10)
    legend(figure, handles)
    return figure, f"{LOSS_KEY} {_KEY} {shares(results, 'reached_global')}"


def _paths(axes: Axes, results: Sequence[Result], views: Views, lanes: Sequence[int]) -> dict[str, Any]:
    """Contours around the paths of some lanes, with the paths; the handles of a legend."""
    view = views(results[0].settings)
    contours(axes, view, *window(results, lanes))
    look = styles(results)
    handles: dict[str, Any] = {}
    for result in results:
        for lane in lanes:
            line = draw_path(axes, path(result, lane), look[optimizer_of(result).label])
            handles[optimizer_text(optimizer_of(result))] = line
    for lane in lanes:
        begin = path(results[0], lane)[0]
        handles["start"] = mark_start(axes, begin)
        label_start(axes, results[0], lane, begin)
    return handles | mark_minimum(axes, view)
