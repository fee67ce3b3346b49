"""Figures of gradient cancellation: what is added up in a step, and how much of it is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.experiments.result import Result
from cmbench.report.captions import optimizer_text
from cmbench.report.figures.chosen import label_start, name_of, shares
from cmbench.report.figures.drawing import (
    Views,
    contours,
    legend,
    mark_minimum,
    mark_start,
    new_figure,
    optimizer_of,
    path,
    square,
    styles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ENTRY, _MEAN, _NEW = "#56B4E9", "#000000", "#009E73"


def cancellation_in_one_panel(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """A panel per optimizer: the traced steps of the first start, what was added up in each, and the end (Figure 2)."""
    traced = [result for result in results if result.curves.get("trace")]
    figure, (panels,) = new_figure(1, len(traced), 5.6, 5)
    handles: dict[str, Any] = {}
    look = styles(traced)
    for axes, result in zip(panels, traced, strict=True):
        view, records = views(result.settings), _records(result)
        points = np.array([record["position"] for record in records], dtype=float)
        end = path(result, 0)[-1]
        inside = np.concatenate([points, end[None]])
        low, high = square(inside, 0.25)
        contours(axes, view, low, high)
        style = look[optimizer_of(result).label]
        axes.plot(points[:, 0], points[:, 1], color=style.colour, marker=".", linewidth=1.2, zorder=4)
        reach = 0.16 * float((high - low).max())
        for record in records:
            handles |= _arrows(axes, record, reach)
        handles["start"] = mark_start(axes, points[0])
        handles["end of the run"] = axes.plot(
            *end, "D", color=style.colour, markeredgecolor="white", markersize=9, zorder=6
        )[0]
        handles |= mark_minimum(axes, view)
        label_start(axes, result, 0, points[0])
        axes.set_title(_cancellation_title(result), fontsize=9)
    legend(figure, handles)
    steps = _steps(_records(traced[0]))
    return figure, f"Steps {steps} from {name_of(traced[0], 0)}. {_ARROW_KEY} {shares(traced, 'cancellation')}"


def cancellation_step_by_step(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """A row per optimizer, a panel per traced step of the first start (Figures 11 and 12)."""
    traced = [result for result in results if result.curves.get("trace")]
    count = min(6, max(len(_records(result)) for result in traced))
    figure, panels = new_figure(len(traced), count, 2.6, 2.75)
    handles: dict[str, Any] = {}
    look = styles(traced)
    for row, result in zip(panels, traced, strict=True):
        view, records = views(result.settings), _records(result)[:count]
        points = np.array([record["position"] for record in records], dtype=float)
        low, high = square(points, 0.6)
        for axes, record in zip(row, records, strict=True):
            contours(axes, view, low, high, labels=False)
            style = look[optimizer_of(result).label]
            axes.plot(points[:, 0], points[:, 1], color=style.colour, linewidth=1, marker=".", zorder=4)
            handles |= _arrows(axes, record, 0.3 * float((high - low).max()))
            handles |= mark_minimum(axes, view)
            axes.set_title(f"step {record['step']}: {record['cancellation']:.0%} cancelled", fontsize=8)
            axes.tick_params(labelsize=6)
        row[0].set_ylabel(f"{_cancellation_title(result)}\n$x_2$", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel("$x_1$", fontsize=8)
    legend(figure, handles)
    return figure, f"From {name_of(traced[0], 0)}. {_ARROW_KEY} {shares(traced, 'cancellation')}"


_ARROW_KEY = (
    "Arrows point the way of a step (against the gradient), the longest of a step drawn at a fixed length. "
    "Cancelled: 1 − ‖sum‖/Σ‖parts‖ of the new gradient or momentum and the buffer's mean."
)


def _records(result: Result) -> list[Mapping[str, Any]]:
    return [record for record in result.curves["trace"] if record["lane"] == 0]


def _steps(records: Sequence[Mapping[str, Any]]) -> str:
    return f"{records[0]['step']} to {records[-1]['step']}"


def _cancellation_title(result: Result) -> str:
    values = [value for value in result.lanes["cancellation"] if value is not None]
    share = sum(values) / len(values)
    return f"{optimizer_text(optimizer_of(result))}\n{share:.0%} cancelled, mean of {len(values)} starts"


def _arrows(axes: Axes, record: Mapping[str, Any], reach: float) -> dict[str, Any]:
    """The buffer's entries, their mean and what is new, from the position of the step, in the direction of a step."""
    here = np.array(record["position"], dtype=float)
    entries = -np.array(record["entries"], dtype=float).reshape(-1, 2)
    mean, new = (-np.array(record[key], dtype=float) for key in ("mean", "new"))
    longest = max([float(np.linalg.norm(v)) for v in (*entries, new)] or [0.0])
    scale = reach / longest if longest > 0 else 0.0
    handles: dict[str, Any] = {}
    for entry in entries:
        tip = here + scale * entry
        (handles["entries of the buffer"],) = axes.plot(
            [here[0], tip[0]], [here[1], tip[1]], color=_ENTRY, linewidth=1, zorder=3
        )
    for key, vector, colour in (("mean of the buffer", mean, _MEAN), ("new gradient or momentum", new, _NEW)):
        if len(entries) or key.startswith("new"):
            arrow = axes.quiver(
                *here, *(scale * vector), color=colour, angles="xy", scale_units="xy", scale=1, width=0.008, zorder=5
            )
            handles[key] = arrow
    from matplotlib.lines import Line2D

    colours = {"mean of the buffer": _MEAN, "new gradient or momentum": _NEW}
    return {
        key: Line2D([], [], color=colours[key], marker=">", markevery=[1]) if key in colours else handle
        for key, handle in handles.items()
    }
