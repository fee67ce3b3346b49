"""Figures of paths on surfaces, of their losses, and of gradient cancellation along them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.experiments.result import Result
from cmbench.report.drawing import (
    Style,
    View,
    Views,
    contours,
    count_paths,
    draw_path,
    legend,
    mark_minimum,
    mark_start,
    new_figure,
    path,
    styles,
    window,
)
from cmbench.report.phrases import optimizer_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Corners = tuple[np.ndarray, np.ndarray]
_KEY = "Squares: starts; diamond: global minimum; coloured marks: ends."


def paths_together(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """All starts and optimizers in one panel (Figure 1)."""
    figure, ((axes,),) = new_figure(1, 1, 6.4, 6)
    lanes = range(min(count_paths(result) for result in results))
    legend(figure, _paths(axes, results, views, list(lanes)))
    return figure, _KEY


def paths_by_start(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """A panel per start with the paths of every optimizer (Figures 13 and 14); a row per surface (Figure 15)."""
    surfaces = list(dict.fromkeys(result.settings["surface"] for result in results))
    room = 3 if len(surfaces) > 1 else 9
    starts = min(room, *(count_paths(result) for result in results))
    columns = min(3, starts)
    rows_each = -(-starts // columns)
    figure, panels = new_figure(rows_each * len(surfaces), columns, 3.3, 3.1)
    shown = list(range(starts))
    handles: dict[str, Any] = {}
    for block, surface in enumerate(surfaces):
        own = [result for result in results if result.settings["surface"] == surface]
        for lane in range(rows_each * columns):
            axes = panels[block * rows_each + lane // columns, lane % columns]
            if lane >= starts:
                axes.axis("off")
                continue
            handles |= _paths(axes, own, views, [lane], window(own, shown))
            axes.set_title(f"{surface}, start {lane + 1}" if len(surfaces) > 1 else f"start {lane + 1}", fontsize=9)
            if len(surfaces) == 1:
                axes.label_outer()
    legend(figure, handles)
    return figure, _KEY


def loss_and_paths(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """Losses over the steps, and the paths from the first start (Figures 4 and 16)."""
    figure, ((left, right),) = new_figure(1, 2, 5.4, 4.6)
    handles = _losses(left, results)
    _paths(right, results, views, [0])
    right.set_title("paths from the first start", fontsize=10)
    legend(figure, handles)
    return figure, f"{_LOSS_KEY} {_KEY}"


def losses(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """Losses over the steps alone, for surfaces that are no plane."""
    figure, ((axes,),) = new_figure(1, 1, 6.4, 4.4)
    legend(figure, _losses(axes, results))
    return figure, _LOSS_KEY


_LOSS_KEY = "Lines: mean loss over starts; bands: ± one standard deviation."


def _losses(axes: Axes, results: Sequence[Result]) -> dict[str, Any]:
    look = styles([result.optimizer for result in results])
    handles = {}
    for result in results:
        step, mean, std = (np.array(result.curves[key], dtype=float) for key in ("step", "loss_mean", "loss_std"))
        style = look[result.optimizer.label]
        (line,) = axes.plot(
            step, mean, color=style.colour, linestyle=style.dashes, linewidth=1.5 * style.weight,
            marker=style.marker, markersize=5 * style.weight, markevery=max(1, len(step) // 8),
        )  # fmt: skip
        axes.fill_between(step, mean - std, mean + std, color=style.colour, alpha=0.08, linewidth=0)
        handles[optimizer_text(result.optimizer)] = line
    schedule = results[0].settings.get("schedule") or {}
    for milestone in schedule.get("milestones", ()):
        axes.axvline(milestone, color="0.4", linewidth=0.8, linestyle=":")
        axes.text(milestone, 0.99, " learning rate drops", transform=axes.get_xaxis_transform(), va="top", fontsize=8)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title(f"loss, mean over {len(results[0].lanes['loss_final'])} starts", fontsize=10)
    axes.grid(alpha=0.3)
    return handles


def _paths(
    axes: Axes, results: Sequence[Result], views: Views, lanes: Sequence[int], corners: Corners | None = None
) -> dict[str, Any]:
    """Contours between `corners`, else around the paths, with the paths of some lanes; the handles of a legend."""
    view = views(results[0].settings)
    contours(axes, view, *(corners or window(results, lanes)))
    look = styles([result.optimizer for result in results])
    handles: dict[str, Any] = {}
    for result in results:
        for lane in lanes:
            line = draw_path(axes, path(result, lane), look[result.optimizer.label])
            handles[optimizer_text(result.optimizer)] = line
    for lane in lanes:
        handles["start"] = mark_start(axes, path(results[0], lane)[0])
    if (diamond := mark_minimum(axes, view)) is not None:
        handles["global minimum"] = diamond
    return handles


def loss_against_sharpness(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """Where runs end, loss against sharpness: a panel per surface, a mark per start, and the means (Tables 1 and 5)."""
    keys = [(result.settings["surface"], result.settings.get("sharpness")) for result in results]
    cells = list(dict.fromkeys(keys))
    figure, (panels,) = new_figure(1, len(cells), 6.4 if len(cells) == 1 else 5, 4.2)
    look = styles([result.optimizer for result in results])
    handles = {}
    for axes, cell in zip(panels, cells, strict=True):
        for result in (r for r, key in zip(results, keys, strict=True) if key == cell):
            loss, sharpness = (np.array(result.lanes[key], dtype=float) for key in ("loss_final", "sharpness"))
            style = look[result.optimizer.label]
            axes.plot(loss, sharpness, style.marker, color=style.colour, markersize=4, alpha=0.3, markeredgewidth=0)
            ok = np.isfinite(loss) & np.isfinite(sharpness)
            deviations = [v[ok].std(ddof=1) / ok.sum() ** 0.5 if ok.sum() > 1 else 0 for v in (loss, sharpness)]
            handles[optimizer_text(result.optimizer)] = axes.errorbar(
                loss[ok].mean(), sharpness[ok].mean(), deviations[1], deviations[0], color=style.colour,
                marker=style.marker, markersize=9 * style.weight, markeredgecolor="white", capsize=3,
                linestyle="none", linewidth=1.5 * style.weight, zorder=5,
            )  # fmt: skip
        surface, coefficient = cell
        axes.set_title(surface if coefficient is None else f"{surface}, s={coefficient:g}", fontsize=10)
        axes.set_xlabel("final loss (lower: deeper)")
        axes.set_ylabel("sharpness (lower: flatter)")
        axes.grid(alpha=0.3)
    legend(figure, handles)
    return figure, (
        "Sharpness: largest eigenvalue of the Hessian. "
        "Pale: the end of each start; large: the mean, with its standard error."
    )


# Gradient cancellation

_ENTRY, _MEAN, _NEW = "#56B4E9", "#000000", "#009E73"


def cancellation_in_one_panel(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """A panel per optimizer: the traced steps of the first start, what was added up in each, and the end (Figure 2)."""
    traced = [result for result in results if result.curves.get("trace")]
    figure, (panels,) = new_figure(1, len(traced), 5.6, 5)
    handles: dict[str, Any] = {}
    look = styles([result.optimizer for result in traced])
    for axes, result in zip(panels, traced, strict=True):
        view, records = views(result.settings), _records(result)
        points = np.array([record["position"] for record in records], dtype=float)
        end = path(result, 0)[-1]
        inside = np.concatenate([points, end[None]])
        low, high = _square(inside, 0.25)
        contours(axes, view, low, high)
        style = look[result.optimizer.label]
        axes.plot(points[:, 0], points[:, 1], color=style.colour, marker=".", linewidth=1.2, zorder=4)
        reach = 0.16 * float((high - low).max())
        for record in records:
            handles |= _arrows(axes, record, reach)
        handles["start"] = mark_start(axes, points[0])
        handles["end of the run"] = axes.plot(
            *end, "D", color=style.colour, markeredgecolor="white", markersize=9, zorder=6
        )[0]
        _mark_minimum_inside(axes, view, low, high, handles)
        axes.set_title(_cancellation_title(result), fontsize=9)
    legend(figure, handles)
    steps = _steps(_records(traced[0]))
    return figure, f"Steps {steps} from the first start. {_ARROW_KEY}"


def cancellation_step_by_step(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """A row per optimizer, a panel per traced step of the first start (Figures 11 and 12)."""
    traced = [result for result in results if result.curves.get("trace")]
    count = min(6, max(len(_records(result)) for result in traced))
    figure, panels = new_figure(len(traced), count, 2.6, 2.75)
    handles: dict[str, Any] = {}
    look = styles([result.optimizer for result in traced])
    for row, result in zip(panels, traced, strict=True):
        view, records = views(result.settings), _records(result)[:count]
        points = np.array([record["position"] for record in records], dtype=float)
        low, high = _square(points, 0.6)
        for axes, record in zip(row, records, strict=True):
            contours(axes, view, low, high, labels=False)
            style: Style = look[result.optimizer.label]
            axes.plot(points[:, 0], points[:, 1], color=style.colour, linewidth=1, marker=".", zorder=4)
            handles |= _arrows(axes, record, 0.3 * float((high - low).max()))
            _mark_minimum_inside(axes, view, low, high, handles)
            axes.set_title(f"step {record['step']}: {record['cancellation']:.0%} cancelled", fontsize=8)
            axes.tick_params(labelsize=6)
        row[0].set_ylabel(f"{_cancellation_title(result)}\n$x_2$", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel("$x_1$", fontsize=8)
    legend(figure, handles)
    return figure, f"The first start. {_ARROW_KEY}"


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
    return f"{optimizer_text(result.optimizer)}\n{share:.0%} cancelled, mean of {len(values)} starts"


def _square(points: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a square around `points`, wider by `margin` of its side on each side."""
    middle = (points.min(0) + points.max(0)) / 2
    half = max(float((points.max(0) - points.min(0)).max()) / 2, 1e-3) * (1 + 2 * margin)
    return middle - half, middle + half


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


def _mark_minimum_inside(axes: Axes, view: View, low: np.ndarray, high: np.ndarray, handles: dict[str, Any]) -> None:
    if view.minimum is not None and (low < view.minimum).all() and (view.minimum < high).all():
        handles["global minimum"] = mark_minimum(axes, view)


# A surface by itself


def surface_map(view: View, low: Sequence[float], high: Sequence[float], name: str) -> Figure:
    """The surface between two corners: a line where it has one coordinate, contours of the first two where it has more.

    The coordinates beyond the second are those of the global minimum, or 0 where none is known.
    """
    figure, ((axes,),) = new_figure(1, 1, 6.4, 5)
    dim = len(low)
    if dim == 1:
        x = np.linspace(low[0], high[0], 1001)
        axes.plot(x, view.function(x[:, None]), color="#0072B2")
        axes.set_xlabel("$x$")
        axes.set_ylabel("$f(x)$")
        axes.grid(alpha=0.3)
        if view.minimum is not None:
            height = float(view.function(np.array(view.minimum)))
            axes.plot(view.minimum[0], height, "D", color="black", markersize=8, label="global minimum")
            axes.legend(frameon=False)
    else:
        rest = np.array((view.minimum or (0.0,) * dim)[2:])
        flat = View(lambda x: view.function(np.concatenate([x, np.broadcast_to(rest, (*x.shape[:-1], len(rest)))], -1)))
        filled = contours(axes, flat, np.array(low[:2]), np.array(high[:2]))
        figure.colorbar(filled, ax=axes, label="f", format="%.3g")
        if view.minimum is not None:
            mark_minimum(axes, view).set_label("global minimum")
            figure.legend(loc="outside upper center", fontsize=9, frameon=False)
    more = f" in {dim} dimensions" if dim > 2 else ""
    axes.set_title(f"{name}{more}", fontsize=11)
    return figure
