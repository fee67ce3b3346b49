"""What the landscape commands share: options as overrides of the suite, the run, the figure, the table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmbench.cli.plots import checked_files

MOST_STEPS = 10_000
"""What a range like `1-10` may stand for."""

if TYPE_CHECKING:
    from cmbench.experiments.execute import Outcome
    from cmbench.experiments.kinds import Kind
    from cmbench.experiments.settings import ToySuite
    from cmbench.experiments.suite import ResolvedSuite
    from cmbench.report.figures.drawing import View

Suite = Annotated[list[str] | None, typer.Option("--suite", metavar="NAME|FILE", help="What to run. Repeatable.")]
Starts = Annotated[
    int | None, typer.Option("--starts", metavar="N", help="Number of start points, drawn from the seed.")
]
Steps = Annotated[int | None, typer.Option("--steps", metavar="N", help="Steps of every optimizer.")]
Dim = Annotated[int | None, typer.Option("--dim", metavar="D", help="Number of coordinates.")]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Draws the start points.")]
Coefficients = Annotated[
    list[str] | None,
    typer.Option("--sharpness", metavar="S,…", help="Only these coefficients s of the sharp/flat function."),
]
Device = Annotated[
    str, typer.Option("--device", metavar="cpu|cuda|…", help="Where to compute; on the CPU a step costs least.")
]


def expanded(names: Sequence[str], kind: Kind) -> list[str]:
    """The suites of a kind that are meant: a place in the paper, or what their names begin with, stands for several."""
    from cmbench.experiments.suite import named

    return list(dict.fromkeys(suite for name in names for suite in named(name, kind)))


def numbers(option: str, given: Sequence[str] | None, kind: type[int] | type[float] = int) -> list[Any] | None:
    """The numbers of a repeatable option whose values may be lists, `5,10,20`; steps may be ranges, `1-10`."""
    if not given:
        return None
    from cmbench.errors import UserError

    found: list[Any] = []
    for part in (part.strip() for text in given for part in text.split(",")):
        first, dash, last = part.partition("-")
        try:
            if dash and first and kind is int:
                low, high = int(first), int(last)
                if not 0 <= high - low < MOST_STEPS:
                    raise UserError(f"{option} {part!r}: accepted: first-last, at most {MOST_STEPS:,} steps")
                found += range(low, high + 1)
            else:
                found.append(kind(part))
        except ValueError:
            what = "whole numbers" if kind is int else "numbers"
            raise UserError(f"{option} {part!r}: accepted: {what}, separated by commas") from None
    return list(dict.fromkeys(found))


def view_of(settings: Mapping[str, Any]) -> View:
    """The surface of a result's settings, ready to be drawn."""
    from cmbench.landscapes.numeric import as_numpy
    from cmbench.report.figures.drawing import View

    return View(*as_numpy(settings))


def draw_figure(outcome: Outcome, suite: ResolvedSuite, file: Path | None, *, quiet: bool) -> None:
    """Draws the figure of the results, where there is anything to draw, and says where it is."""
    if file is None:
        return
    from cmbench.report.figures.choice import draw
    from cmbench.report.figures.drawing import save

    if all(result.status in ("failed", "interrupted") for result in outcome.results):
        print("no figure: no run completed", file=sys.stderr)
        return
    save(draw(outcome.results, suite, view_of), file)
    if not quiet:
        print(f"figure: {file}", file=sys.stderr)


def run_and_print(
    suites: Sequence[ResolvedSuite],
    *,
    out: Path,
    force: bool,
    quiet: bool,
    json: bool,
    device: str = "cpu",
    plot: Path | None = None,
) -> None:
    """Runs what is not finished, draws the figures, and prints the tables, or the results as JSON."""
    from cmbench.api import Machine, check_suite, run_suite
    from cmbench.cli.finish import collecting, finish, together
    from cmbench.cli.progress import Narrator

    files = checked_files(plot, suites)
    for suite in suites:
        check_suite(suite)  # what is wrong with the last one is said before the first one runs
    with Narrator(quiet=quiet) as narrator, collecting(json=json) as outcomes:
        for suite in suites:
            outcomes.append(run_suite(suite, out=out, force=force, machine=Machine(device), listener=narrator))
    for suite, outcome, file in zip(suites, outcomes, files, strict=True):
        draw_figure(outcome, suite, file, quiet=quiet)
    finish(together(outcomes), json=json, suites=suites)


def draw_surfaces(suite: ResolvedSuite[ToySuite], target: Path, *, quiet: bool) -> None:
    """Draws every surface of a suite over its domain, once for each sharpness coefficient, and runs nothing.

    `target` is a file, or a folder: where there are several surfaces, the one called like the file.
    """
    from cmbench.landscapes.cells import prepare
    from cmbench.report.figures.drawing import checked_path, save
    from cmbench.report.figures.surface import surface_map

    settings = suite.settings
    domains = prepare(suite).domains
    cells = [(surface, domain, s) for surface, domain in domains.items() for s in (settings.sharpness or (None,))]
    for surface, (low, high), s in cells:
        name = surface.replace(":", ".") + ("" if s is None else f"_s={s:g}")
        file = checked_path(target.with_suffix("") if len(cells) > 1 else target, name, "--show-surface")
        cell = {"surface": surface, "dim": settings.dim, "sharpness": s, "spectrum": settings.spectrum}
        title = surface if s is None else f"{surface}, s={s:g}"
        save(surface_map(view_of(cell), [low] * settings.dim, [high] * settings.dim, title), file)
        if not quiet:
            print(f"figure: {file}", file=sys.stderr)
