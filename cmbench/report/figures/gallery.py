"""A figure of many surfaces: a map of each, with the way of every optimizer from one start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.experiments.result import Result
from cmbench.report.captions import optimizer_text
from cmbench.report.figures.drawing import (
    Views,
    contours,
    draw_path,
    legend,
    mark_minimum,
    mark_start,
    new_figure,
    optimizer_of,
    path,
    styles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 5


def gallery(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """A panel per surface over its domain, with the paths of all optimizers from the first start."""
    surfaces = list(dict.fromkeys(result.settings["surface"] for result in results))
    rows = math.ceil(len(surfaces) / _COLUMNS)
    columns = math.ceil(len(surfaces) / rows)
    figure, panels = new_figure(rows, columns, 3.2, 3.4)
    handles: dict[str, Any] = {}
    for axes, surface in zip(panels.flat, surfaces, strict=False):
        handles |= _panel(axes, [result for result in results if result.settings["surface"] == surface], views)
        axes.set_title(surface, fontsize=10)
        axes.tick_params(labelsize=7)
    for axes in panels.flat[len(surfaces) :]:
        axes.axis("off")
    legend(figure, handles)
    return figure, (
        "Paths from the first start, the same for every optimizer, over the domain of the starts; what leaves it is "
        "cut off. Coloured marks: ends; diamonds: global minima. Darker is higher, in steps of equal area."
    )


def _panel(axes: Axes, results: Sequence[Result], views: Views) -> dict[str, Any]:
    """One surface with its paths; the handles of a legend."""
    low, high = results[0].settings["domain"]
    view = views(results[0].settings)
    contours(axes, view, np.array([low, low]), np.array([high, high]), labels=False)
    look = styles(results)
    handles: dict[str, Any] = {}
    for result in results:
        style = look[optimizer_of(result).label]
        line = draw_path(axes, path(result, 0), replace(style, weight=0.65 * style.weight))
        handles[optimizer_text(optimizer_of(result))] = line
    handles["start"] = mark_start(axes, path(results[0], 0)[0])
    return handles | mark_minimum(axes, view, 6)
