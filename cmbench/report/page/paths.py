"""The ways of optimizers over a surface, ready to be played: contours around a few starts, and the paths from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmbench.errors import UserError
from cmbench.experiments.result import Result
from cmbench.report.figures.chosen import name_of
from cmbench.report.figures.drawing import View, Views, count_paths, path, styles_of, window
from cmbench.report.page.line import line_of
from cmbench.report.page.numbers import shorts, thinned
from cmbench.report.runs.by_optimizer import runs_by_optimizer
from cmbench.report.runs.groups import Group

LEVELS = 15
"""Bands of equal area between contours."""


@dataclass(frozen=True)
class Detail:
    """How many `starts` of a surface are shown, on a grid of how many `points` per axis, with how many `records`."""

    starts: int
    points: int
    records: int

    @staticmethod
    def of(surfaces: int) -> Detail:
        """Less of each, the more there are: a page is not to grow without bound."""
        if surfaces <= 12:
            return Detail(4, 61, 200)
        return Detail(2, 51, 120) if surfaces <= 40 else Detail(1, 31, 60)


def has_paths(group: Group) -> bool:
    """Whether its runs are on a plane, and some hold where they went."""
    flat = group.suite.kind == "toy" and group.settings.get("dim") == 2
    return flat and any(run.result and count_paths(run.result) for run in group.runs)


def trajectories(group: Group, views: Views, detail: Detail) -> dict[str, Any] | None:
    """What the page draws of runs on a plane; None where there are no paths, or the surface is not found any more.

    For each of a few starts: `x`, `y` and `height` of a grid around the paths, `paths` of the optimizers at the
    recorded `step`s, and the `minima` that lie inside.
    """
    if not has_paths(group):
        return None
    try:
        view = views(group.settings)
    except UserError:
        return None
    rows = [row for row in runs_by_optimizer(group) if row.runs[0].result and count_paths(row.runs[0].result)]
    results = [row.runs[0].result for row in rows if row.runs[0].result]
    looks = styles_of([row.optimizer for row in rows])
    lanes = range(min(detail.starts, *(count_paths(result) for result in results)))
    return {
        "kind": "paths",
        "title": "Paths",
        "lines": [line_of(row.title, looks[row.optimizer.label]) for row in rows],
        "starts": [_start(results, lane, view, detail) for lane in lanes],
    }


def _start(results: Sequence[Result], lane: int, view: View, detail: Detail) -> dict[str, Any]:
    low, high = window(results, [lane])
    x, y = (np.linspace(low[d], high[d], detail.points) for d in range(2))
    minima = [point[:2] for point in (view.minimum, *view.others) if point is not None]
    inside = [point for point in minima if all(low[d] < point[d] < high[d] for d in range(2))]
    paths = [path(result, lane) for result in results]
    records = thinned(max(map(len, paths)), detail.records)
    return {
        "name": name_of(results[0], lane),
        "x": shorts(x),
        "y": shorts(y),
        "height": ranks(view.function(np.stack(np.meshgrid(x, y), -1))),
        "minima": [shorts(point) for point in inside[:20]],
        "step": _steps(results[0], max(map(len, paths)), records),
        "paths": [_points(points, records) for points in paths],
    }


def ranks(heights: np.ndarray[Any, Any]) -> list[list[int | None]]:
    """What share of the grid is lower, in thousandths, so that contours enclose equal areas (rows as in `heights`).

    A surface may span many orders of magnitude where nothing happens.
    """
    finite = np.sort(heights[np.isfinite(heights)])
    middle = (np.searchsorted(finite, heights, "left") + np.searchsorted(finite, heights, "right")) / 2
    share = np.round(1000 * middle / max(len(finite), 1))
    return [
        [int(rank) if np.isfinite(height) else None for rank, height in zip(*row, strict=True)]
        for row in zip(share, heights, strict=True)
    ]


def _steps(result: Result, count: int, records: np.ndarray[Any, Any]) -> list[int]:
    """The steps at which positions were recorded: as the losses were, else evenly spread."""
    known = result.curves.get("step", [])
    every = np.array(known) if len(known) == count else np.linspace(0, result.settings["steps"], count).round()
    return [int(every[i]) for i in records]


def _points(points: np.ndarray[Any, Any], records: np.ndarray[Any, Any]) -> list[list[float | int | None]]:
    """The coordinates at these records; one that ended earlier stays where it was."""
    kept = points[np.minimum(records, len(points) - 1)]
    return [shorts(kept[:, 0], 4), shorts(kept[:, 1], 4)]
