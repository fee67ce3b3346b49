"""The loss on lines and in planes through the solutions of training runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cmbench.experiments.result import Result
from cmbench.report.captions import plural
from cmbench.report.columns.sharpness import other_run_text, run_names
from cmbench.report.figures.drawing import caption, legend, new_figure, optimizer_of, quantile_levels, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOGARITHMIC = 30
"""From so many times the lowest loss on, the axis up to the highest is logarithmic."""
_LEVELS, _ACROSS = 24, 3
_UNITS = "units of the weights"


def slices(results: Sequence[Result], trained: Sequence[Result] = ()) -> Figure:
    """The loss along the top eigenvector, a line per run and a panel per suite; of planes of the top two, a panel per
    run.
    """
    if "y" in results[0].curves:
        return _eigenvector_planes(results)
    figure, panels = _line_panels(results, "x", {0: None})
    for axes in panels:
        axes.set_xlabel(f"distance from the weights along the top eigenvector ({_UNITS})")
    note = ""
    if len(results) == 1:
        _draw_parabola(panels[0], results[0])
        note = " Dotted: the parabola that the eigenvalue alone would make."
    text = "along the eigenvector of the largest eigenvalue of its Hessian. Circles: the weights."
    caption(figure, f"{_what(results)} {text}{note}")
    return figure


def _eigenvector_planes(results: Sequence[Result]) -> Figure:
    figure, panels = _plane_panels(results)
    for result, axes in zip(results, panels, strict=True):
        first, second = result.curves["eigenvalues"]
        axes.set_title(f"{_name(result)}: λ₁ = {first:.3g}, λ₂ = {second:.3g}", fontsize=10)
        axes.set_xlabel(f"along the first eigenvector ({_UNITS})")
        axes.set_ylabel("along the second")
        _mark(axes, [0.0], [0.0], [""])
    text = "in the plane of the eigenvectors of the two largest eigenvalues of its Hessian; circle: the weights"
    caption(figure, f"{_what(results)} {text}. {_AREAS}")
    return figure


def barriers(results: Sequence[Result], trained: Sequence[Result] = ()) -> Figure:
    """The loss on the straight line to another run's solution, a line per run and a panel per suite.

    `trained` are runs that may be the other one, which gives it its name.
    """
    figure, panels = _line_panels(results, "t", {0: None, 1: "black"})
    for axes in panels:
        axes.set_xlabel("share t of the way from a run's weights (0) to the other's (1)")
    far = [result.metrics["distance"] or math.nan for result in results]
    if len(results) == 1:
        above = panels[0].secondary_xaxis(
            "top", functions=(partial(np.multiply, far[0]), partial(np.multiply, 1 / far[0]))
        )
        above.set_xlabel(f"distance ({_UNITS})")
    other = ", ".join(dict.fromkeys(_others(results[0], run_names(trained))))
    ends = " to ".join(dict.fromkeys(f"{value:.3g}" for value in (min(far), max(far))))
    line = f"on the straight line to {other}, {ends} away ({_UNITS})"
    caption(figure, f"{_what(results)} {line}. Circles: the runs' weights and, black, the other's.")
    return figure


def planes(results: Sequence[Result], trained: Sequence[Result] = ()) -> Figure:
    """The loss in the plane through three solutions, a panel per run; `trained` as for `barriers`."""
    figure, panels = _plane_panels(results)
    names = run_names(trained)
    for result, axes in zip(results, panels, strict=True):
        x, y = result.curves["solutions_x"], result.curves["solutions_y"]
        _mark(axes, x, y, [_name(result), *_others(result, names)])
        axes.set_xlabel(f"distance ({_UNITS})")
        axes.set_ylabel(f"distance ({_UNITS})")
    caption(figure, f"{_what(results)} in the plane through three solutions. {_AREAS}")
    return figure


_AREAS = "Each colour of the scale covers the same area; white: no finite number."


def _what(results: Sequence[Result]) -> str:
    """Whose loss, of which seeds, over how many examples."""
    suites = ", ".join(dict.fromkeys(result.suite.name for result in results))
    seeds = sorted({result.seed for result in results})
    examples = results[0].settings.get("examples")
    over = "all" if examples is None else f"the first {examples}"
    which = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    at = [*dict.fromkeys(result.settings.get("at", "last") for result in results)]
    weights = "" if at == ["last"] else f", weights at {', '.join(at)}"
    return f"{suites}, {plural(len(results), 'run')}, {which}{weights}: loss of {over} training examples"


def _name(result: Result) -> str:
    at = result.settings.get("at")
    return run_names([result])[result.id] + (f" {at}" if at else "")


def _others(result: Result, names: Mapping[str, str]) -> list[str]:
    return [other_run_text(text, names) for text in result.settings["to"]]


def _curve(result: Result, name: str) -> np.ndarray:
    """A curve, NaN where it holds no finite number."""
    values = np.array(result.curves[name], dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


def _line_panels(
    results: Sequence[Result], across: str, marks: Mapping[float, str | None]
) -> tuple[Figure, list[Axes]]:
    """The curve `loss` against the curve `across`, with circles at `marks`, of their colours or else the lines'."""
    suites = list(dict.fromkeys(result.suite.name for result in results))
    figure, panels = new_figure(len(suites), 1, 7.5, 4.4)
    looks, handles = styles(results), {}
    for suite, axes in zip(suites, panels[:, 0], strict=True):
        own = [result for result in results if result.suite.name == suite]
        for result in own:
            label = optimizer_of(result).label
            place, loss = _curve(result, across), _curve(result, "loss")
            look = looks[label]
            (handles[label],) = axes.plot(
                place, loss, color=look.colour, linestyle=look.dashes, linewidth=1.3 * look.weight, alpha=0.85
            )
            for mark, colour in marks.items():
                there = place == mark
                axes.plot(
                    place[there], loss[there], "o", color=colour or look.colour, markeredgecolor="white", markersize=7
                )
        every = np.concatenate([_curve(result, "loss") for result in own])
        low, high = np.nanmin(every), np.nanmax(every)
        if low > 0 and high > _LOGARITHMIC * low:
            axes.set_yscale("log")
        axes.set_ylabel("training loss")
        axes.set_title(suite if len(suites) > 1 else "")
        axes.grid(alpha=0.25)
    legend(figure, handles)
    return figure, [*panels[:, 0]]


def _draw_parabola(axes: Axes, result: Result) -> None:
    """L + ½·λ·x², inside what the panel shows."""
    limits, place = axes.get_ylim(), _curve(result, "x")
    curvature = result.curves["eigenvalues"][0]
    axes.plot(place, (result.metrics["loss"] or 0.0) + curvature * place**2 / 2, ":", color="0.3", linewidth=1.2)
    axes.set_ylim(limits)


def _plane_panels(results: Sequence[Result]) -> tuple[Figure, list[Axes]]:
    """The curve `loss` as filled contours over `x` and `y`, a panel for each result."""
    across = min(len(results), _ACROSS)
    figure, grid = new_figure(math.ceil(len(results) / across), across, 5.4, 4.6)
    panels = [*grid.flat]
    for spare in panels[len(results) :]:
        spare.set_visible(False)
    for result, axes in zip(results, panels, strict=False):
        _draw_contours(figure, axes, result)
    return figure, panels[: len(results)]


def _draw_contours(figure: Figure, axes: Axes, result: Result) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    x, y, loss = (_curve(result, name) for name in ("x", "y", "loss"))
    values = np.ma.masked_invalid(loss.reshape(len(y), len(x)))
    levels = quantile_levels(loss, _LEVELS)
    norm = BoundaryNorm(levels, colormaps["cividis"].N)
    filled = axes.contourf(x, y, values, levels=levels, cmap="cividis", norm=norm)
    axes.contour(x, y, values, levels=levels[1:-1:2], colors="white", linewidths=0.3)
    axes.set_aspect("equal")
    scale = figure.colorbar(filled, ax=axes, ticks=levels[:: max(1, len(levels) // 8)], format="%.3g", shrink=0.85)
    scale.set_label("training loss")


def _mark(axes: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str]) -> None:
    """White circles at solutions, with their names beside them."""
    from matplotlib.patheffects import withStroke

    axes.plot(x, y, "o", color="white", markeredgecolor="black", markersize=7, zorder=5)
    for place, name in zip(zip(x, y, strict=True), names, strict=True):
        outline = [withStroke(linewidth=2.5, foreground="black")]
        axes.annotate(
            name, place, (0, 8), textcoords="offset points", ha="center", fontsize=9, color="white",
            path_effects=outline, zorder=6,
        )  # fmt: skip
