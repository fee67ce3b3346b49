"""Figures of how soon runs reach a target: of one suite by optimizer, and over several suites as a profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.report.captions import plural
from cmbench.report.figures.drawing import caption, legend, new_figure, styles_of
from cmbench.report.figures.training.axis import TITLES, Axis
from cmbench.report.figures.training.quantities import Quantity, metric_of
from cmbench.report.figures.training.rows import TrainingRuns
from cmbench.report.figures.training.series import drawn
from cmbench.report.figures.training.targets import (
    Target,
    cost_to,
    median_target,
    performance_profile,
    share_reached,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST_SUITES = 2
_MEDIAN = "the median of the best values of all runs"


@dataclass(frozen=True)
class Race:
    """Runs of one suite and the target that they are to reach."""

    runs: TrainingRuns
    target: Target
    metric: Quantity

    @classmethod
    def of(cls, runs: TrainingRuns) -> Race | None:
        """With the median of the runs' best values as target; None where runs are judged by nothing on the way."""
        metric = metric_of(runs.results)
        if metric is None or metric.direction is None or any("task" in result.curves for result in runs.results):
            return None  # the metric of a stream is each time that of another task
        target = median_target(metric.name, metric.direction, runs.results)
        return cls(runs, target, metric) if target else None

    def costs(self, row: int, axis: Axis) -> dict[int, float | None]:
        """What each finished run of a row spent until it was there, by seed."""
        return {
            result.seed: cost_to(self.target, result, axis, self.runs.epoch_steps)
            for result in drawn(self.runs.rows[row])
        }

    @property
    def text(self) -> str:
        """`validation accuracy % ≥ 98.6`."""
        sign = "≤" if self.target.direction == "lower" else "≥"
        return f"{self.metric.title} {sign} {self.target.value:.4g}"


def reached_over_cost(race: Race, axis: Axis) -> Figure:
    """The share of runs that have reached the target against what they spent, a staircase per optimizer."""
    figure, ((axes,),) = new_figure(1, 1, 7.0, 4.4)
    look, handles = race.runs.styles(), {}
    costs = [race.costs(i, axis) for i in range(len(race.runs.rows))]
    right = max((cost for row in costs for cost in row.values() if cost is not None), default=1.0) * 1.08
    for row, found in zip(race.runs.rows, costs, strict=True):
        x, share = share_reached(list(found.values()))
        reached = sum(cost is not None for cost in found.values())
        title = f"{row.title} ({reached}/{len(found)})"
        style = look[row.title]
        handles[title] = _stairs(axes, x, share, right, style)
    axes.set_xlim(0, right)
    axes.set_title(f"runs with {race.text}", fontsize=10)
    axes.set_xlabel(TITLES[axis])
    _share_axis(axes, "share of runs")
    legend(figure, handles)
    caption(
        figure,
        f"{race.runs.text()} The target is {_MEDIAN}; in brackets: how many runs reach it. Runs are evaluated at the "
        "end of each epoch; those that diverged count as any other.",
    )
    return figure


@dataclass(frozen=True)
class Profile:
    """What every solver spent on each problem, a seed of a suite, until it reached the suite's target."""

    costs: dict[str, list[float | None]]
    races: tuple[Race, ...]

    @classmethod
    def of(cls, races: Sequence[Race], axis: Axis) -> Profile | None:
        """Of the optimizers that all of the suites have, on the seeds that all of these have.

        None where these are fewer than two optimizers, or suites.
        """
        if len(races) < FEWEST_SUITES:
            return None
        shared = [title for title in _titles(races[0]) if all(title in _titles(race) for race in races)]
        if len(shared) < 2:
            return None
        costs: dict[str, list[float | None]] = {title: [] for title in shared}
        for race in races:
            own = {title: race.costs(_titles(race).index(title), axis) for title in shared}
            for seed in sorted(set.intersection(*(set(found) for found in own.values()))):
                for title in shared:
                    costs[title].append(own[title][seed])
        return cls(costs, tuple(races)) if all(costs.values()) else None


def profile_figure(profile: Profile, axis: Axis) -> Figure:
    """The performance profile of Dolan and Moré: ρ(τ) on a logarithmic τ, a staircase per optimizer."""
    figure, ((axes,),) = new_figure(1, 1, 7.0, 4.4)
    first = profile.races[0].runs
    optimizers = {row.title: row.optimizer.model_copy(update={"label": row.title}) for row in first.rows}
    look = styles_of([optimizers[title] for title in profile.costs])
    curves = performance_profile(profile.costs)
    right = max(float(tau[-1]) for tau, _ in curves.values()) * 1.1
    handles = {title: _stairs(axes, tau, rho, right, look[title]) for title, (tau, rho) in curves.items()}
    axes.set_xscale("log")
    axes.set_xlim(1, max(right, 1.5))
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"τ: times as many {_UNITS[axis]} as the best needs")
    axes.set_title("problems solved within τ times the best", fontsize=10)
    _share_axis(axes, "ρ(τ): share of problems")
    legend(figure, handles)
    suites = ", ".join(f"{race.runs.group.suite.name} ({race.text})" for race in profile.races)
    count = len(next(iter(profile.costs.values())))
    caption(
        figure,
        f"Performance profile (Dolan and Moré 2002) over {plural(count, 'problem')}, each a seed of a suite with its "
        f"target, {_MEDIAN}: {suites}. At τ = 1: the share on which an optimizer is the first; at the right: the share "
        "that it solves at all.",
    )
    return figure


_UNITS = {"epochs": "epochs", "steps": "steps", "gradients": "gradient evaluations", "seconds": "seconds"}


def _titles(race: Race) -> list[str]:
    return [row.title for row in race.runs.rows]


def _stairs(axes: Axes, x: np.ndarray, y: np.ndarray, right: float, style: Any) -> Any:
    """A staircase that goes on to the right edge; returns its line."""
    (line,) = axes.plot(
        np.append(x, right), np.append(y, y[-1]), drawstyle="steps-post", color=style.colour, linestyle=style.dashes,
        linewidth=1.6 * style.weight**0.5, marker=style.marker, markersize=5 * style.weight**0.5,
        markevery=range(1, len(x)), markeredgecolor="white", markeredgewidth=0.5,
        clip_on=False, solid_capstyle="butt",
    )  # fmt: skip
    return line


def _share_axis(axes: Axes, title: str) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set_ylabel(title)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
