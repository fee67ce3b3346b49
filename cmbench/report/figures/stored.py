"""Every figure that stored results allow: what each is called, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cmbench.experiments.result import Result
from cmbench.experiments.suite import ResolvedSuite
from cmbench.experiments.text import canonical, value_text
from cmbench.report.asked import Asked
from cmbench.report.columns.sharpness import quantity_of
from cmbench.report.figures.choice import draw_landscapes
from cmbench.report.figures.drawing import Views
from cmbench.report.figures.measured import measured_figure
from cmbench.report.figures.training.axis import Axis
from cmbench.report.figures.training.curves import learning_curves
from cmbench.report.figures.training.flatness import Flatness, flatness_figure
from cmbench.report.figures.training.landing import landings_of, sharpness_and_metric
from cmbench.report.figures.training.places import NUMBERS, place_figure
from cmbench.report.figures.training.reaching import Profile, Race, profile_figure, reached_over_cost
from cmbench.report.figures.training.rows import TrainingRuns
from cmbench.report.runs.every_group import every_group
from cmbench.report.runs.groups import Group
from cmbench.report.runs.same_settings import shared_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL = ("surface", "domain", "sharpness", "data", "capacity", "beta")
"""Settings in which the cells of one landscape figure differ."""


@dataclass(frozen=True)
class StoredFigure:
    """A figure under the name of its file; `draw` draws it."""

    name: str
    draw: Callable[[], Figure]


def figures_of(
    results: Sequence[Result], views: Views, axis: Axis | None = None, suites: Iterable[ResolvedSuite] = ()
) -> list[StoredFigure]:
    """Every figure that `results` allow, suite by suite.

    Of training `SUITE_curves`, `SUITE_target` (how soon a target is reached), `SUITE_sharpness` (against the metric,
    where it was measured), over all suites `flatness` (every measure, beside the first optimizer's) and over at least
    two `profile`; of measurements `SUITE_spectrum`, `SUITE_slice`, `SUITE_barrier` and `SUITE_plane`; of landscapes
    `SUITE`.

    `axis` is the horizontal axis of curves, by default the one that suits each figure. Settings of one suite that
    differ have figures of their own, `SUITE_2…` from the second on. `views` gives the surfaces of landscapes, and
    `suites` are those of `tables`.
    """
    groups = list(every_group(results, suites))
    measured = [result for result in results if result.kind == "sharpness"]
    trained = [result for result in results if result.kind == "train"]
    return [*_of_training(groups, axis, measured), *_of_measurements(measured, trained), *_of_landscapes(groups, views)]


def asked_figures(asked: Asked, views: Views, axis: Axis | None = None) -> list[StoredFigure]:
    """The figures of everything that a report is asked for."""
    found = figures_of(asked.results, views, axis)
    for (kind, number), results in asked.of_place.items():
        if kind == "figure":
            found += figures_of_place(number, results, views, axis)
        else:
            found += figures_of(results, views, axis)
    return found


def _of_training(groups: Sequence[Group], axis: Axis | None, measured: Sequence[Result]) -> Iterator[StoredFigure]:
    cost: Axis = axis or "gradients"
    races, flat = [], []
    for name, runs in training_runs(groups):
        yield StoredFigure(f"{name}_curves", partial(learning_curves, runs, axis or "epochs"))
        if race := Race.of(runs):
            races.append(race)
            yield StoredFigure(f"{name}_target", partial(reached_over_cost, race, cost))
        if flatness := Flatness.of(runs, measured):
            flat.append(flatness)
        if landings := landings_of(runs, measured):
            yield StoredFigure(f"{name}_sharpness", partial(sharpness_and_metric, runs, landings))
    if flat:
        yield StoredFigure("flatness", partial(flatness_figure, flat))
    if profile := Profile.of(races, cost):
        yield StoredFigure("profile", partial(profile_figure, profile, cost))


def _of_measurements(measured: Sequence[Result], trained: Sequence[Result]) -> Iterator[StoredFigure]:
    """A figure for every way in which runs of a suite were measured, and there is something to draw."""
    ways: dict[str, list[Result]] = {}
    for result in measured:
        way = shared_settings("sharpness", result.settings)
        ways.setdefault(canonical([result.suite.name, way]), []).append(result)
    names: list[str] = []
    for own in ways.values():
        if draw := measured_figure(own, trained):
            name = f"{own[0].suite.name}_{quantity_of(own[0])}"
            yield StoredFigure(_numbered(name, names), draw)
            names.append(name)


def figures_of_place(
    number: int, results: Sequence[Result], views: Views, axis: Axis | None = None
) -> list[StoredFigure]:
    """Figure `number` of the paper as `figureN`: in its arrangement where it shows training, else suite by suite.

    `results` are those of its suites; empty where they do not hold what the figure shows.
    """
    groups = list(every_group(results))
    if number not in NUMBERS:
        return [*_of_landscapes(groups, views)]
    figure = place_figure(number, [runs for _, runs in training_runs(groups)], axis or "epochs")
    return [StoredFigure(f"figure{number}", lambda: figure)] if figure else []


def training_runs(groups: Iterable[Group]) -> list[tuple[str, TrainingRuns]]:
    """The runs of every set of settings of which one is drawn, under the name that its files begin with."""
    found: list[tuple[str, TrainingRuns]] = []
    for group in groups:
        if group.suite.kind == "train" and (runs := TrainingRuns.of(group)).rows:
            found.append((_numbered(group.suite.name, [each.group.suite.name for _, each in found]), runs))
    return found


def _of_landscapes(groups: Sequence[Group], views: Views) -> Iterator[StoredFigure]:
    figures: dict[str, list[Group]] = {}
    for group in groups:
        if group.suite.kind in ("toy", "escape-ratio", "convergence") and any(_finished(group)):
            settings = {key: value for key, value in group.settings.items() if key not in _CELL}
            key = canonical([group.suite.name, group.suite.kind, settings, group.runs[0].seed])
            figures.setdefault(key, []).append(group)
    names: list[str] = []
    for members in figures.values():
        suite = members[0].suite
        described = f": {suite.suite.settings.description}" if suite.suite else ""
        differs = dict.fromkeys(f"{each.key} {value_text(each.value)}" for group in members for each in group.differs)
        title = f"Suite {suite.name}{described}" + (f" (with {', '.join(differs)})" if differs else "")
        paper = suite.suite.settings.paper if suite.suite else None
        finished = [result for group in members for result in _finished(group)]
        yield StoredFigure(_numbered(suite.name, names), partial(draw_landscapes, finished, views, paper, title))
        names.append(suite.name)


def _finished(group: Group) -> list[Result]:
    return [run.result for run in group.runs if run.result and run.result.finished]


def _numbered(name: str, earlier: Sequence[str]) -> str:
    """`digits`, and `digits_2` where there is one of that name before it."""
    count = earlier.count(name)
    return f"{name}_{count + 1}" if count else name
