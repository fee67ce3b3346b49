"""Figures of losses: over the steps, and against the sharpness where runs end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.experiments.result import Result
from cmbench.report.captions import optimizer_text
from cmbench.report.figures.drawing import Views, legend, new_figure, optimizer_of, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def losses(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """Losses over the steps alone, for surfaces that are no plane."""
    figure, ((axes,),) = new_figure(1, 1, 6.4, 4.4)
    legend(figure, draw_losses(axes, results))
    return figure, LOSS_KEY


LOSS_KEY = "Lines: mean loss over all starts; bands: from the lower to the upper quartile."


def draw_losses(axes: Axes, results: Sequence[Result]) -> dict[str, Any]:
    """A line and a band for each optimizer; the handles of a legend."""
    look = styles(results)
    handles = {}
    for result in results:
        step, mean, low, high = (
            np.array(result.curves[key], dtype=float) for key in ("step", "loss_mean", "loss_q25", "loss_q75")
        )
        style = look[optimizer_of(result).label]
        (line,) = axes.plot(
            step, mean, color=style.colour, linestyle=style.dashes, linewidth=1.5 * style.weight,
            marker=style.marker, markersize=5 * style.weight, markevery=max(1, len(step) // 8),
        )  # fmt: skip
        axes.fill_between(step, low, high, color=style.colour, alpha=0.08, linewidth=0)
        handles[optimizer_text(optimizer_of(result))] = line
    schedule = results[0].settings.get("schedule") or {}
    for milestone in schedule.get("milestones", ()):
        axes.axvline(milestone, color="0.4", linewidth=0.8, linestyle=":")
        axes.text(milestone, 0.99, " learning rate drops", transform=axes.get_xaxis_transform(), va="top", fontsize=8)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title(f"loss, mean over {len(results[0].lanes['loss_final'])} starts", fontsize=10)
    axes.grid(alpha=0.3)
    return handles


def loss_against_sharpness(results: Sequence[Result], views: Views) -> tuple[Figure, str]:
    """Where runs end, loss against sharpness: a panel per surface, a mark per start, and the means (Tables 1 and 5)."""
    keys = [(result.settings["surface"], result.settings.get("sharpness")) for result in results]
    cells = list(dict.fromkeys(keys))
    figure, (panels,) = new_figure(1, len(cells), 6.4 if len(cells) == 1 else 5, 4.2)
    look = styles(results)
    handles = {}
    for axes, cell in zip(panels, cells, strict=True):
        for result in (r for r, key in zip(results, keys, strict=True) if key == cell):
            loss, sharpness = (np.array(result.lanes[key], dtype=float) for key in ("loss_final", "sharpness"))
            style = look[optimizer_of(result).label]
            axes.plot(loss, sharpness, style.marker, color=style.colour, markersize=4, alpha=0.3, markeredgewidth=0)
            ok = np.isfinite(loss) & np.isfinite(sharpness)
            deviations = [v[ok].std(ddof=1) / ok.sum() ** 0.5 if ok.sum() > 1 else 0 for v in (loss, sharpness)]
            handles[optimizer_text(optimizer_of(result))] = axes.errorbar(
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
