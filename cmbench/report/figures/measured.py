"""The choice among the figures of measurements of flatness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cmbench.errors import UserError
from cmbench.experiments.result import Result
from cmbench.report.columns.sharpness import quantity_of
from cmbench.report.figures.drawing import checked_path
from cmbench.report.figures.slices import barriers, planes, slices
from cmbench.report.figures.spectrum import spectra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURES: Mapping[str, Callable[[Sequence[Result], Sequence[Result]], Figure]] = {
    "spectrum": spectra,
    "slice": slices,
    "barrier": barriers,
    "plane": planes,
}


def checked_files(plot: Path, metrics: Sequence[str]) -> dict[str, Path]:
    """The file of each metric's figure: `plot` itself, or METRIC.png inside it where it is a folder.

    Raises `UserError` where none of the metrics has a figure, or several would go to one file.
    """
    drawn = [metric for metric in _FIGURES if metric in metrics]
    if not drawn:
        raise UserError(f"--plot: accepted with: --metric {', '.join(_FIGURES)}")
    files = {metric: checked_path(plot, metric) for metric in drawn}
    if len({*files.values()}) < len(files):
        raise UserError(f"--plot {plot}: accepted for the figures of several metrics: a folder")
    return files


def measured_figure(results: Sequence[Result], trained: Sequence[Result]) -> Callable[[], Figure] | None:
    """Draws those of the `results`, of one metric, that are completed; None where there is nothing to draw.

    `trained` are training runs, which give the other runs of a barrier or a plane their names.
    """
    own = [result for result in results if result.status == "completed"]
    figure = _FIGURES.get(quantity_of(own[0])) if own else None
    return partial(figure, own, trained) if figure else None
