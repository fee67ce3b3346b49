"""The columns of sharpness measurements: in a table of the training runs that they are of, and in one of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cmbench.experiments.result import Result
from cmbench.experiments.text import canonical, value_text
from cmbench.report.columns.cells import mean_cell
from cmbench.report.runs.run import Run, completed
from cmbench.report.runs.same_settings import shared_settings
from cmbench.report.table import Cell, Column

_EXPLANATION = (
    "Sharpness at the end of training: the largest eigenvalue of the Hessian of the training loss, as "
    "`cmbench sharpness` measured it"
)


def top_eigenvalue(measurements: Mapping[str, Result], detail: str = "") -> Column[Sequence[Run]]:
    """Of training runs; `measurements` by the run that they are of, `detail` how they differ from other columns'."""

    def read(runs: Sequence[Run]) -> Cell:
        found = [measurements.get(result.id) for result in completed(runs)]
        cell = mean_cell([_eigenvalue(each) if each and each.status == "completed" else None for each in found])
        lost = sum(each is not None and each.status != "completed" for each in found)
        return replace(cell, notes=(*cell.notes, f"{lost} failed")) if lost else cell

    if not detail:
        return Column("top_eigenvalue", "sharpness λmax", "lower", "significant", f"{_EXPLANATION}.", read)
    key, title = f"top_eigenvalue[{detail}]", f"sharpness λmax ({detail})"
    return Column(key, title, "lower", "significant", f"{_EXPLANATION} with {detail}.", read)


MEASURED: Column[Sequence[Run]] = replace(
    top_eigenvalue({}),
    read=lambda runs: replace(mean_cell([_eigenvalue(result) for result in completed(runs)]), notes=()),
)
"""Of runs that are measurements themselves."""
COLUMNS = (MEASURED,)


def top_eigenvalues(measured: Iterable[Result], trained: Iterable[Result]) -> list[Column[Sequence[Run]]]:
    """A column for each way in which the runs `trained` were measured."""
    ids = {result.id for result in trained}
    settings: dict[str, dict[str, Any]] = {}
    found: dict[str, dict[str, Result]] = {}
    for result in measured:
        if result.settings.get("of") in ids:
            way = shared_settings("sharpness", result.settings)
            settings.setdefault(canonical(way), way)
            found.setdefault(canonical(way), {})[result.settings["of"]] = result
    columns = []
    for key, way in settings.items():
        # In the order of the alphabet, as the settings of one way may be stored in any.
        varying = [name for name in sorted(way) if any(other.get(name) != way[name] for other in settings.values())]
        columns.append(top_eigenvalue(found[key], ", ".join(f"{name}={value_text(way[name])}" for name in varying)))
    return columns


def _eigenvalue(result: Result) -> float | None:
    return result.metrics.get("top_eigenvalue")
