"""The choice among the figures: that of a suite's place in the paper, else the one that fits its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cmbench.experiments.result import Result
from cmbench.experiments.settings import PaperReference
from cmbench.experiments.suite import ResolvedSuite
from cmbench.report.captions import landscape_text
from cmbench.report.figures.cancellation import cancellation_in_one_panel, cancellation_step_by_step
from cmbench.report.figures.convergence import convergence_rates
from cmbench.report.figures.drawing import Views, caption, optimizer_of
from cmbench.report.figures.escape import escape_grid, escape_ratios
from cmbench.report.figures.gallery import gallery
from cmbench.report.figures.losses import loss_against_sharpness, losses
from cmbench.report.figures.paths import loss_and_paths, paths_by_start, paths_together

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Figures = Callable[[Sequence[Result], Views], tuple["Figure", str]]
"""Draws the results of one set of settings; the text is for its caption."""
_FIGURES: Mapping[int, Figures] = {
    1: paths_together,
    2: cancellation_in_one_panel,
    4: loss_and_paths,
    5: escape_grid,
    11: cancellation_step_by_step,
    12: cancellation_step_by_step,
    13: paths_by_start,
    14: paths_by_start,
    15: paths_by_start,
    16: loss_and_paths,
    17: escape_grid,
    18: escape_grid,
}
MANY_SURFACES = 3
"""From so many on, a panel for each tells more than one for all."""


def draw(results: Sequence[Result], suite: ResolvedSuite, views: Views) -> Figure:
    """The figure of a landscape suite's results: that of its place in the paper, else the one that fits its kind.

    `results` are of one set of settings, as one command gives them; runs that failed are left out. `views` gives the
    surfaces. The caption names the suite, its description, the number of starts, the seed and the schedule.
    """
    return draw_landscapes(results, views, suite.settings.paper, f"Suite {suite.name}: {suite.settings.description}")


def draw_landscapes(results: Sequence[Result], views: Views, paper: PaperReference | None, title: str) -> Figure:
    """The same for results of one kind with a place in the paper, or none, below which stands `title`."""
    kept = [result for result in results if result.finished]
    if kept[0].kind == "convergence":
        figure, text = convergence_rates(kept)
        caption(figure, f"{title}. {text}")
        return figure
    draw_one = _by_kind(kept)
    if paper and paper.table is None and paper.figure and _fits(kept, paper.figure):
        draw_one = _FIGURES.get(paper.figure, draw_one)
    figure, text = draw_one(kept, views)
    runs = "; ".join(dict.fromkeys(landscape_text(result.settings, result.seed, paper) for result in kept))
    if draw_one is gallery:  # its panels say the rest of what would be one long list
        runs = landscape_text(kept[0].settings | {"surface": "Each", "domain": None}, kept[0].seed, paper)
    caption(figure, f"{title}. {runs}. {text}")
    return figure


def _fits(results: Sequence[Result], number: int) -> bool:
    """Whether results that the command line may have changed can still be arranged as in that figure."""
    dims = {result.settings["dim"] for result in results}
    if number in (5, 17, 18):
        return dims == {1}
    if number in (2, 11, 12):
        return dims == {2} and any(result.curves.get("trace") for result in results)
    return number not in _FIGURES or dims == {2}


def _by_kind(results: Sequence[Result]) -> Figures:
    kinds = {result.kind for result in results}
    surfaces = {result.settings["surface"] for result in results}
    coefficients = {result.settings.get("sharpness") for result in results}
    dims = {result.settings["dim"] for result in results}
    if kinds == {"escape-ratio"}:
        return escape_ratios
    names = {optimizer_of(result).name for result in results}
    if len(surfaces) >= MANY_SURFACES and dims == {2} and len(coefficients) == 1:
        return gallery
    if len(surfaces) > 1 or len(coefficients) > 1 or len(names) < len(results):
        return loss_against_sharpness
    if dims == {2}:
        return loss_and_paths
    return losses
