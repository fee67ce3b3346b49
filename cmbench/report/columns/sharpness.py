"""The columns of flatness: in a table of the training runs that were measured, and in one of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cmbench.experiments.result import Result
from cmbench.experiments.text import canonical, value_text
from cmbench.report.columns.cells import mean_cell
from cmbench.report.runs.run import Run, completed
from cmbench.report.runs.same_settings import shared_settings
from cmbench.report.table import Cell, Column, Direction


@dataclass(frozen=True)
class _Quantity:
    """The number that a metric's column shows: the key of a measurement's metrics, and its words."""

    key: str
    title: str
    explanation: str
    direction: Direction | None = "lower"


_MEASURED = "as `cmbench sharpness` measured it"
QUANTITIES: Mapping[str, _Quantity] = {
    "top-eigenvalue": _Quantity(
        "top_eigenvalue",
        "sharpness λmax",
        f"Sharpness at the end of training: the largest eigenvalue of the Hessian of the training loss, {_MEASURED}",
    ),
    "m-sharpness": _Quantity(
        "m_sharpness",
        "m-sharpness",
        f"How much the loss of m training examples rises within a ball around the weights (Eq. 15), {_MEASURED}",
    ),
    "adaptive-sharpness": _Quantity(
        "adaptive_sharpness",
        "adaptive sharpness",
        f"As m-sharpness, in a ball that is measured in units of the weights, so that rescaling them does not change "
        f"it, {_MEASURED}",
    ),
    "trace": _Quantity(
        "trace", "trace of H", f"Sum of all eigenvalues of the Hessian of the training loss, by Hutch++, {_MEASURED}"
    ),
    "spectrum": _Quantity(
        "negative_share",
        "share of λ<0",
        f"Share of the eigenvalues of the Hessian of the training loss that are negative, {_MEASURED}",
        None,
    ),
    "barrier": _Quantity(
        "barrier",
        "barrier",
        "How far the training loss rises above the chord on the straight line from a run's weights to those of another "
        f"one (Frankle et al. 2020), {_MEASURED}",
        None,
    ),
}
"""Metrics that are one number; those of which a figure alone is made are not among them."""


def quantity_of(measurement: Result) -> str:
    """The metric of a measurement, by its name on the command line."""
    return str(measurement.settings.get("metric", "top-eigenvalue"))


def flatness(metric: str, measurements: Mapping[str, Result], detail: str = "") -> Column[Sequence[Run]]:
    """Of training runs; `measurements` by the run that they are of, `detail` how they differ from other columns'."""
    what = QUANTITIES[metric]

    def read(runs: Sequence[Run]) -> Cell:
        found = [measurements.get(result.id) for result in completed(runs)]
        values = (each.metrics.get(what.key) if each and each.status == "completed" else None for each in found)
        cell = mean_cell([*values])
        lost = sum(each is not None and each.status != "completed" for each in found)
        return replace(cell, notes=(*cell.notes, f"{lost} failed")) if lost else cell

    if not detail:
        return Column(what.key, what.title, what.direction, "significant", f"{what.explanation}.", read)
    key, title = f"{what.key}[{detail}]", f"{what.title} ({detail})"
    return Column(key, title, what.direction, "significant", f"{what.explanation} with {detail}.", read)


def measured(metric: str) -> Column[Sequence[Run]]:
    """Of runs that are measurements themselves."""
    key = QUANTITIES[metric].key

    def read(runs: Sequence[Run]) -> Cell:
        return replace(mean_cell([result.metrics.get(key) for result in completed(runs)]), notes=())

    return replace(flatness(metric, {}), read=read)


COLUMNS = tuple(measured(metric) for metric in QUANTITIES)


@dataclass(frozen=True)
class Way:
    """One way in which runs were measured: the metric, how it differs from other ways (`at=best`), and what came out.

    `measurements` are by the id of the run that they are of.
    """

    metric: str
    detail: str
    measurements: Mapping[str, Result]

    def value(self, run: Result) -> float | None:
        """What was measured of a run; None where nothing was."""
        found = self.measurements.get(run.id)
        return found.metrics.get(QUANTITIES[self.metric].key) if found and found.status == "completed" else None


def flatness_columns(measurements: Iterable[Result], trained: Iterable[Result]) -> list[Column[Sequence[Run]]]:
    """A column for each way in which the runs `trained` were measured."""
    return [flatness(way.metric, way.measurements, way.detail) for way in ways_measured(measurements, trained)]


def ways_measured(measurements: Iterable[Result], trained: Iterable[Result]) -> list[Way]:
    """Each way in which the runs `trained` were measured: metric by metric, the usual one first."""
    names = run_names(trained)
    settings: dict[str, dict[str, dict[str, Any]]] = {}
    found: dict[str, dict[str, Result]] = {}
    for result in measurements:
        if result.settings.get("of") in names:
            way = shared_settings("sharpness", result.settings)
            settings.setdefault(quantity_of(result), {}).setdefault(canonical(way), way)
            found.setdefault(canonical(way), {})[result.settings["of"]] = result
    every = []
    for metric in (metric for metric in QUANTITIES if metric in settings):
        ways = settings[metric]
        for key, way in ways.items():
            # In the order of the alphabet, as the settings of one way may be stored in any.
            varying = [name for name in sorted(way) if any(other.get(name) != way[name] for other in ways.values())]
            told = {**way, "to": ",".join(other_run_text(text, names) for text in way.get("to", ()))}
            detail = ", ".join(f"{name}={value_text(told[name])}" for name in dict.fromkeys([*varying, *_always(way)]))
            every.append(Way(metric, detail, found[key]))
    return sorted(every, key=lambda way: ([*QUANTITIES].index(way.metric), way.detail))


def run_names(trained: Iterable[Result]) -> dict[str, str]:
    """What training runs are called, by their ids: `adam_cm seed 3`."""
    return {result.id: f"{result.label} seed {result.seed}" for result in trained}


def other_run_text(named: str, names: Mapping[str, str]) -> str:
    """Another run of a barrier or a plane, as its settings name it, by its name where that is known."""
    run, _, at = named.partition("@")
    return names.get(run, run[:8]) + (f" {at}" if at else "")


def _always(way: Mapping[str, Any]) -> list[str]:
    """Settings that a reader must see even where all agree on them: weights other than the last, one step of ascent,
    another run.
    """
    usual = {"at": "last", "maximiser": "projected", "to": []}
    return [name for name, value in usual.items() if way.get(name, value) != value]
