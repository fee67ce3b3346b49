"""What the commands that draw stored results share: the options, and the files that are written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from cmbench.experiments.execute import Outcome
    from cmbench.experiments.suite import ResolvedSuite
    from cmbench.report.figures.stored import StoredFigure
    from cmbench.report.figures.training.axis import Axis

Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE|DIR", help="Draw the figure: a .png, .svg or .pdf, or DIR/SUITE.png in a folder."
    ),
]
AnyAxis = Annotated[
    Literal["epochs", "steps", "gradients", "seconds"] | None,
    typer.Option(
        "--axis", help="What curves are drawn against. [default: epochs; gradients where a target is reached]"
    ),
]


def checked_files(plot: Path | None, suites: Sequence[ResolvedSuite]) -> Sequence[Path | None]:
    """The file of each suite's figure, checked before anything runs; several figures need a folder."""
    if plot is None:
        return [None] * len(suites)
    from cmbench.errors import UserError
    from cmbench.report.figures.drawing import checked_path

    files = [checked_path(plot, suite.name) for suite in suites]
    if len(set(files)) < len(files):
        raise UserError(f"--plot {plot}: accepted for several suites: a folder")
    return files


def checked_folder(plot: Path | None) -> Path | None:
    """The folder that figures go to; raises `UserError` where it cannot be one."""
    from cmbench.errors import UserError
    from cmbench.report.figures.drawing import FORMATS, checked_path

    if plot is not None and plot.suffix.lower() in FORMATS and not plot.is_dir():
        raise UserError(f"--plot {plot}: accepted: a folder, for there may be several figures")
    if plot is not None:
        checked_path(plot, "figure")
    return plot


def save_figures(figures: Sequence[StoredFigure], folder: Path, ending: str) -> None:
    """Writes each figure into the folder as NAME.`ending`, and says where it is."""
    from cmbench.report.figures.drawing import checked_path, save

    for figure in figures:
        file = checked_path(folder / f"{figure.name}.{ending}", figure.name)
        save(figure.draw(), file)
        print(f"figure: {file}", file=sys.stderr)


def save_curves(
    outcomes: Sequence[Outcome],
    suites: Sequence[ResolvedSuite],
    files: Sequence[Path | None],
    axis: Axis,
    *,
    quiet: bool,
) -> None:
    """Draws the learning curves of what each suite's training came to, where there is anything to draw."""
    if not any(files):
        return
    from cmbench.report.figures.drawing import save
    from cmbench.report.figures.stored import training_runs
    from cmbench.report.figures.training.curves import learning_curves
    from cmbench.report.runs.every_group import every_group

    for outcome, suite, file in zip(outcomes, suites, files, strict=True):
        runs = training_runs(every_group(outcome.results, [suite], outcome.specs))
        if file is None or not runs:
            print(f"{suite.name}: no figure: no run completed", file=sys.stderr)
            continue
        save(learning_curves(runs[0][1], axis), file)
        if not quiet:
            print(f"figure: {file}", file=sys.stderr)
