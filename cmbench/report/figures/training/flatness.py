"""How flat the minima of optimizers are beside those of one of them, by every measure that was taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmbench.experiments.result import Result
from cmbench.report.columns.sharpness import QUANTITIES, Way, ways_measured
from cmbench.report.comparison import Comparison, compare
from cmbench.report.figures.drawing import caption, legend, new_figure
from cmbench.report.figures.training.rows import TrainingRuns
from cmbench.report.runs.run import completed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 3
"""Panels beside each other."""


@dataclass(frozen=True)
class Ratio:
    """The measure of the row `title` over the reference's: `logs` are log₁₀ by seed, `found` what they come to."""

    title: str
    logs: tuple[float, ...]
    found: Comparison


@dataclass(frozen=True)
class Flatness:
    """What was measured of the runs of one suite, as ratios to its first row."""

    runs: TrainingRuns
    ratios: dict[str, tuple[Ratio, ...]]
    """By the name of the measure, a word in a line: `sharpness`, `λmax`, `(at=best)`."""

    @classmethod
    def of(cls, runs: TrainingRuns, measured: Sequence[Result]) -> Flatness | None:
        """None where fewer than two optimizers were measured on the same seed, or no measure is positive."""
        ratios = {}
        for way in ways_measured(measured, runs.results):
            name = "\n".join([*QUANTITIES[way.metric].title.split(), *([f"({way.detail})"] if way.detail else [])])
            if QUANTITIES[way.metric].direction and (found := _ratios(runs, way)):
                ratios[name] = tuple(found)
        return cls(runs, ratios) if ratios else None

    @property
    def reference(self) -> str:
        """The title of the row that all others are compared with."""
        return self.runs.rows[0].title


def _ratios(runs: TrainingRuns, way: Way) -> list[Ratio]:
    """Of every row but the first, over the seeds of which both have a positive value."""
    values = [
        {run.seed: math.log10(value) for run in completed(row.runs) if (value := way.value(run) or 0.0) > 0}
        for row in runs.rows
    ]
    found = []
    for row, own in zip(runs.rows[1:], values[1:], strict=True):
        if common := sorted(own.keys() & values[0].keys()):
            mine, theirs = ([each[seed] for seed in common] for each in (own, values[0]))
            logs = tuple(a - b for a, b in zip(mine, theirs, strict=True))
            found.append(Ratio(row.title, logs, compare(mine, theirs)))
    return found


def flatness_figure(suites: Sequence[Flatness]) -> Figure:
    """A panel per suite; in it, for each measure, the ratios of each optimizer: a mark per seed, mean and interval."""
    across = min(_ACROSS, len(suites))
    most = max(len(each.ratios) for each in suites)
    figure, panels = new_figure(-(-len(suites) // across), across, max(4.5, 1.1 * most), 4.0)
    handles: dict[str, object] = {}
    for axes, each in zip(panels.flat, suites, strict=False):
        _panel(axes, each, handles)
    for axes in panels.flat[len(suites) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("ratio to the reference (down: flatter)")
    legend(figure, handles)
    texts = [f"{each.runs.group.suite.name} to {each.reference} ({each.runs.seeds().lower()})" for each in suites]
    caption(
        figure,
        f"Measures of flatness as ratios of runs with the same seed: {'; '.join(texts)}. Pale marks are seeds, dark "
        "ones geometric means with their 95 % intervals, where there are three seeds.",
    )
    return figure


def _panel(axes: Axes, flatness: Flatness, handles: dict[str, object]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    runs = flatness.runs
    looks = runs.styles()
    others = [row.title for row in runs.rows[1:]]
    for place, ratios in enumerate(flatness.ratios.values()):
        for ratio in ratios:
            look = looks[ratio.title]
            x = place + 0.7 * ((others.index(ratio.title) + 0.5) / len(others) - 0.5)
            seeds = [10**log for log in ratio.logs]
            axes.plot([x] * len(seeds), seeds, "o", color=look.colour, alpha=0.3, markersize=3)
            low, high = ratio.found.interval or (ratio.found.effect,) * 2
            axes.plot([x, x], [10**low, 10**high], color=look.colour, linewidth=2)
            (handles[ratio.title],) = axes.plot(
                [x], [10**ratio.found.effect], color=look.colour, marker=look.marker, markersize=7,
                markeredgecolor="white", linestyle="none",
            )  # fmt: skip
    axes.axhline(1, color="0.3", linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(range(len(flatness.ratios)), list(flatness.ratios), fontsize=7)
    axes.set_title(runs.group.suite.name, fontsize=10)
    axes.grid(alpha=0.3, axis="y")
