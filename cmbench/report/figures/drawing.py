"""What the figures share: colours and dashes that colour-blind readers can tell apart, contours, paths, captions."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.errors import UserError
from cmbench.experiments.result import OptimizerReference, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")

# Okabe and Ito's palette; one colour per optimizer in every figure.
_COLOURS = {
    "adam": "#0072B2",
    "adam_sam": "#E69F00",
    "adam_cg": "#009E73",
    "adam_cm": "#D55E00",
    "adam_sam_cm": "#CC79A7",
    "adam_meg": "#56B4E9",
}
_OTHER_COLOURS = ("#000000", "#56B4E9", "#CC79A7", "#E69F00", "#009E73", "#0072B2", "#D55E00")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1, 1, 1)), (0, (2, 3)))
RESOLUTION = 201
"""Points per axis at which a surface is evaluated."""


@dataclass(frozen=True)
class View:
    """A surface to be drawn: `function` maps points (..., D) to (...); `minimum` is one point of the lowest value.

    `others` are more of that value, where they are known.
    """

    function: Callable[[np.ndarray], np.ndarray]
    minimum: tuple[float, ...] | None = None
    others: tuple[tuple[float, ...], ...] = ()


Corners = tuple[np.ndarray, np.ndarray]
"""The lower left and the upper right corner of what is shown."""
Views = Callable[[Mapping[str, Any]], View]
"""Gives the surface that a result's settings name."""


@dataclass(frozen=True)
class Style:
    """How an optimizer is drawn: variants of one optimizer share the colour and differ in dashes and marker.

    `weight` falls from 1.9 for the first to 0.8 for the last, so that of equal lines all can be seen.
    """

    colour: str
    dashes: Any
    marker: str
    weight: float = 1.0


def optimizer_of(result: Result) -> OptimizerReference:
    """The optimizer of a run on a surface; raises `ValueError` for a kind of run that has none."""
    if result.optimizer is None:
        raise ValueError(f"{result.suite.name}: a '{result.kind}' run has no optimizer")
    return result.optimizer


def styles(results: Iterable[Result]) -> dict[str, Style]:
    """A style for every label."""
    return styles_of([optimizer_of(result) for result in results])


def styles_of(optimizers: Sequence[OptimizerReference]) -> dict[str, Style]:
    """A style for every label of these optimizers."""
    found: dict[str, Style] = {}
    used: dict[str, int] = {}
    names = list(dict.fromkeys(optimizer.name for optimizer in optimizers))
    for optimizer in optimizers:
        if optimizer.label in found:
            continue
        variant = used[optimizer.name] = used.get(optimizer.name, -1) + 1
        others = [name for name in names if name not in _COLOURS]
        colour = _COLOURS.get(optimizer.name) or _OTHER_COLOURS[others.index(optimizer.name) % len(_OTHER_COLOURS)]
        marker = _MARKERS[(names.index(optimizer.name) + 3 * variant) % len(_MARKERS)]
        found[optimizer.label] = Style(colour, _DASHES[variant % len(_DASHES)], marker)
    last = max(len(found) - 1, 1)
    return {label: replace(style, weight=1.9 - 1.1 * i / last) for i, (label, style) in enumerate(found.items())}


def new_figure(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure of `rows` × `columns` panels, each `width` × `height` inches; the panels as a 2-D array.

    It belongs to no window system and no global state of matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def caption(figure: Figure, text: str) -> None:
    """Sets `text` below the panels, in lines as wide as the figure."""
    per_line = int(figure.get_figwidth() * 15)
    figure.supxlabel("\n".join(textwrap.wrap(text, per_line)), fontsize=8, color="0.3")


def legend(figure: Figure, handles: Mapping[str, Any]) -> None:
    """One legend above all panels, in as many rows as the width asks for."""
    rows = math.ceil(sum(len(name) + 6 for name in handles) / (figure.get_figwidth() * 12))
    columns = math.ceil(len(handles) / rows)
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=columns, fontsize=9, frameon=False
    )


def window(results: Sequence[Result], lanes: Sequence[int]) -> Corners:
    """The corners of a square around the paths of these lanes."""
    points = np.concatenate([path(result, lane) for result in results for lane in lanes])
    return square(points[np.isfinite(points).all(-1)], 0.12)


def square(points: np.ndarray, margin: float) -> Corners:
    """The corners of a square around `points` (N, 2), wider by `margin` of its side on each side."""
    middle = (points.min(0) + points.max(0)) / 2
    half = max(float((points.max(0) - points.min(0)).max()) / 2, 1e-3) * (1 + 2 * margin)
    return middle - half, middle + half


def count_paths(result: Result) -> int:
    """How many lanes' paths the result holds."""
    return len(result.curves.get("trajectory", ()))


def path(result: Result, lane: int) -> np.ndarray:
    """The recorded positions (records, D) of a lane, NaN where they are not finite."""
    return np.array(result.curves["trajectory"][lane], dtype=float)


def quantile_levels(values: np.ndarray, count: int) -> np.ndarray:
    """At most `count` different levels, at least two, between which lie equally many of the finite `values`."""
    levels = np.unique(np.quantile(values[np.isfinite(values)], np.linspace(0, 1, count)))
    return levels if len(levels) > 1 else np.array([levels[0], levels[0] + 1])


def contours(
    axes: Axes, view: View, low: np.ndarray, high: np.ndarray, *, levels: int = 16, labels: bool = True
) -> Any:
    """Filled grey contours between the corners `low` and `high`, at quantiles of the values; returns the artist.

    Quantiles, because a surface may span many orders of magnitude where nothing happens.
    """
    x, y = (np.linspace(low[d], high[d], RESOLUTION) for d in range(2))
    grid = np.stack(np.meshgrid(x, y), -1)
    values = view.function(grid)
    steps = quantile_levels(values, levels)
    filled = axes.contourf(x, y, values, levels=steps, cmap="Greys", alpha=0.4)
    axes.contour(x, y, values, levels=steps[::2], colors="0.6", linewidths=0.3)
    axes.set_aspect("equal")
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    if labels:
        axes.set_xlabel("$x_1$")
        axes.set_ylabel("$x_2$")
    return filled


def mark_minimum(axes: Axes, view: View, size: float = 8) -> dict[str, Any]:
    """Black diamonds at the global minima that are known and inside the panel; the handles of a legend."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    known = [point[:2] for point in (view.minimum, *view.others) if point is not None]
    inside = [(x, y) for x, y in known if left < x < right and bottom < y < top]
    if not inside:
        return {}
    look: dict[str, Any] = {"color": "black", "markeredgecolor": "white", "markersize": size}
    (diamonds,) = axes.plot(*zip(*inside, strict=True), "D", zorder=6, **look)
    return {"global minimum": diamonds}


def draw_path(axes: Axes, points: np.ndarray, style: Style) -> Any:
    """A path (records, 2) with its end marked; returns a handle for a legend."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": style.colour, "linestyle": style.dashes, "linewidth": 1.3 * style.weight}
    axes.plot(points[:, 0], points[:, 1], zorder=4, **look)
    end = points[np.isfinite(points).all(-1)][-1]
    mark: dict[str, Any] = {"marker": style.marker, "markeredgecolor": "white", "markersize": 7 * style.weight}
    axes.plot(*end, color=style.colour, zorder=5, **mark)
    return Line2D([], [], **look, **mark)


def mark_start(axes: Axes, point: np.ndarray) -> Any:
    """A black square where runs begin; returns the artist."""
    return axes.plot(*point, "s", color="black", markeredgecolor="white", markersize=7, zorder=6)[0]


def checked_path(target: Path, name: str, option: str = "--plot") -> Path:
    """The file that a figure called `name` goes to: `target` itself, or a PNG inside it where it is a folder.

    Raises `UserError` naming the `option` for a kind of file that is not drawn, or a parent that is no folder.
    """
    if target.is_dir() or not target.suffix:
        target = target / f"{name}.png"
    if target.suffix.lower() not in FORMATS:
        raise UserError(f"{option} {target}: accepted: a folder, or a file that ends in {', '.join(FORMATS)}")
    for parent in target.parents:
        if parent.exists() and not parent.is_dir():
            raise UserError(f"{option} {target}: {parent} is no folder")
    return target


def save(figure: Figure, file: Path) -> None:
    """Writes the figure as PNG (150 dots per inch), SVG or PDF, by the ending of `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Neither dates nor random identifiers: the same results give the same bytes.
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(file.suffix.lower(), {})
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "cmbench"}):
        figure.savefig(file, dpi=150, metadata=metadata)
