"""Figures of escapes from the sharp minimum: ratios against the coefficient s, and grids of one-dimensional paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cmbench.experiments.result import Result
from cmbench.experiments.text import value_text
from cmbench.report.captions import optimizer_text
from cmbench.report.columns.escape import CRITERIA
from cmbench.report.figures.chosen import given_starts
from cmbench.report.figures.drawing import Views, legend, new_figure, optimizer_of, path, styles
from cmbench.report.statistics import wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ESCAPED, _STUCK = "#DDF1E9", "#F8DDD0"
"""Tints of green and red that differ in brightness too; a word in each panel says the same."""


def escape_ratios(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """Escape ratio against s with 95 % Wilson intervals, one panel per criterion (Figures 6 and 7)."""
    figure, (panels,) = new_figure(1, len(CRITERIA), 4, 4, sharey=True)
    look = styles(results)
    labels = list(look)
    coefficients = sorted({result.settings["sharpness"] for result in results})
    handles = {}
    for axes, criterion in zip(panels, CRITERIA, strict=True):
        for i, label in enumerate(labels):
            own = sorted((r for r in results if optimizer_of(r).label == label), key=lambda r: r.settings["sharpness"])
            s, ratio, low, high = np.array([_ratio(result, criterion.key) for result in own]).T
            # A little aside each, so that intervals at the same height can be told apart.
            s = s * 1.035 ** (i - (len(labels) - 1) / 2)
            style = look[label]
            handles[optimizer_text(optimizer_of(own[0]))] = axes.errorbar(
                s, ratio, [ratio - low, high - ratio], color=style.colour, linestyle=style.dashes, marker=style.marker,
                markersize=5, capsize=2.5, linewidth=1.3 * style.weight, elinewidth=0.9,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(coefficients, [value_text(s) for s in coefficients])
        axes.minorticks_off()
        axes.set_xlabel("sharpness coefficient s")
        axes.set_title(f"{criterion.key}: {criterion.short}", fontsize=9)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("escape ratio")
    panels[0].set_ylim(-0.03, 1.03)
    legend(figure, handles)
    return figure, "Bars: 95 % Wilson intervals. Points at one s are drawn side by side."


def _ratio(result: Result, criterion: str) -> tuple[float, float, float, float]:
    lanes = [bool(lane) for lane in result.lanes[f"escaped_{criterion}"] if lane is not None]
    return (result.settings["sharpness"], sum(lanes) / len(lanes), *wilson_interval(sum(lanes), len(lanes)))


_MOST_STARTS = 4


def escape_grid(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """Paths on f_s: a column per s, a row per start, for each optimizer (Figure 5) or optimizer × C (17, 18).

    The optimizers stand side by side; where they come in several capacities, each capacity has its own rows.
    """
    optimizers = [optimizer_of(result) for result in results]
    names = list(dict.fromkeys(optimizer.name for optimizer in optimizers))
    by_name = {name: list(dict.fromkeys(o.label for o in optimizers if o.name == name)) for name in names}
    bands = max(len(labels) for labels in by_name.values())
    coefficients = sorted({result.settings["sharpness"] for result in results})
    drawn = given_starts(results[0]) or _MOST_STARTS
    starts = min(drawn, min(len(result.curves["trajectory"]) for result in results))
    look = styles(results)
    columns = len(coefficients)
    figure, panels = new_figure(bands * starts, columns * len(names), 1.45, 1.3)
    for block, name in enumerate(names):
        for band in range(bands):
            labels = by_name[name]
            for row in range(starts):
                for column, s in enumerate(coefficients):
                    axes = panels[band * starts + row, block * columns + column]
                    found = [
                        r
                        for r, optimizer in zip(results, optimizers, strict=True)
                        if band < len(labels) and optimizer.label == labels[band] and r.settings["sharpness"] == s
                    ]
                    if not found:
                        axes.axis("off")
                        continue
                    _escape_panel(axes, found[0], row, views, look[labels[band]].colour)
                    if row == 0:
                        text = optimizer_text(optimizer_of(found[0]))
                        head = text if column == columns // 2 else ""
                        axes.set_title(f"{head}\ns={value_text(s)}: {_share(found[0])}", fontsize=8)
                    if block == 0 and column == 0:
                        axes.set_ylabel(f"start {path(found[0], row)[0, 0]:.3g}".replace("-", "−"), fontsize=8)
                    if band == bands - 1 and row == starts - 1:
                        axes.set_xlabel("x", fontsize=8)
    return figure, (
        "Green background: escaped, the path ends in the flat basin; red: stuck in the sharp one. "
        "Grey: f_s(x), each panel on its own scale; square: start; vertical line: end. "
        f"Percentages: of all {len(results[0].lanes['escaped_all'])} starts, those that end in the flat basin."
    )


def _share(result: Result) -> str:
    lanes = result.lanes["escaped_all"]
    return f"{sum(map(bool, lanes)) / len(lanes):.0%}"


def _escape_panel(axes: Axes, result: Result, lane: int, views: Views, colour: str) -> None:
    points = path(result, lane)[:, 0]
    points = points[np.isfinite(points)]
    view = views(result.settings)
    low, high = min(-2.2, points.min() - 0.2), max(3.2, points.max() + 0.2)
    x = np.linspace(low, high, 400)
    # The well is what matters: high walls on either side would flatten it.
    heights = view.function(points[:, None])
    top = max(4.5, heights[0] * 1.1)
    escaped = bool(result.lanes["escaped_all"][lane])
    axes.set_facecolor(_ESCAPED if escaped else _STUCK)
    axes.plot(x, view.function(x[:, None]), color="0.5", linewidth=0.9)
    axes.plot(points, heights, color=colour, linewidth=0.8, marker=".", markersize=2.2)
    axes.plot(points[0], heights[0], "s", color="black", markersize=3.5)
    axes.axvline(points[-1], color=colour, linewidth=1.4)
    axes.text(
        0.5, 0.95, "escaped" if escaped else "stuck", transform=axes.transAxes, ha="center", va="top", fontsize=6.5,
        bbox={"facecolor": axes.get_facecolor(), "edgecolor": "none", "pad": 0.8},
    )  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(-0.06 * top, top * 1.15)
    axes.set_xticks([0, 1])
    axes.set_yticks([])
    axes.tick_params(labelsize=6, length=2)
