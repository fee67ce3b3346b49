"""`cmbench sharpness`: how flat the minima are in which training runs have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmbench.cli.options import DEFAULT_OUT, DataDir, Device, Force, Json, Opt, Out, Quiet, Set, overrides

if TYPE_CHECKING:
    from cmbench.experiments.result import Result
    from cmbench.experiments.settings import SharpnessSuite


Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TARGET]…", help="Completed training runs: results, weights, ids, folders, SUITE[/OPTIMIZER]."
    ),
]
Suite = Annotated[
    str,
    typer.Option("--suite", metavar="NAME|FILE", help="How to measure, and (without TARGET) which suites' runs."),
]
Metric = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="top-eigenvalue, m-sharpness, adaptive-sharpness, trace, spectrum, slice, barrier or plane; repeatable.",
    ),
]
At = Annotated[
    str | None, typer.Option("--at", metavar="last|best|epoch=N", help="Which of a run's weights. [default: last]")
]
Examples = Annotated[
    str | None, typer.Option("--examples", metavar="N|all", help="Training examples of the loss. [default: all]")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", help="Examples in memory at a time. [default: 500]")
]
Tolerance = Annotated[
    float | None, typer.Option("--tolerance", metavar="T", help="Relative residual to reach. [default: 1e-4]")
]
Top = Annotated[
    int | None, typer.Option("--top", metavar="K", help="So many eigenvalues; of a slice, directions. [default: 1]")
]
Radius = Annotated[
    float | None, typer.Option("--radius", metavar="R", help="Of the ball. [default: 0.05; adaptive: 0.5]")
]
M = Annotated[int | None, typer.Option("--m", metavar="M", help="Examples per ascent. [default: the run's batch size]")]
Maximiser = Annotated[
    str | None, typer.Option("--maximiser", metavar="ascent|projected", help="Of m-sharpness. [default: projected]")
]
Reach = Annotated[
    float | None, typer.Option("--reach", metavar="R", help="Of a slice: how far from the weights. [default: 1]")
]
To = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="TARGET", help="Another run: of a barrier one, of a plane two."),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE|DIR", help="Draw spectra, slices, barriers, planes: PNG, SVG, PDF."),
]


def sharpness(
    targets: Targets = None,
    suite: Suite = "sharpness",
    opt: Opt = None,
    metric: Metric = None,
    at: At = None,
    examples: Examples = None,
    batch_size: BatchSize = None,
    tolerance: Tolerance = None,
    top: Top = None,
    radius: Radius = None,
    m: M = None,
    maximiser: Maximiser = None,
    reach: Reach = None,
    to: To = None,
    plot: Plot = None,
    set_: Set = None,
    device: Device = None,
    data_dir: DataDir = None,
    out: Out = DEFAULT_OUT,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure how flat the training loss is where finished runs have ended, or were best.

    Each measurement is stored beside the run it belongs to, and joins its suite's table.
    """
    from cmbench.experiments.flatness import ways_to_measure

    options: dict[str, object] = {
        "batch_size": batch_size,
        "tolerance": tolerance,
        "top": top,
        "radius": radius,
        "m": m,
    }
    options |= {"maximiser": maximiser, "reach": reach, "examples": "null" if examples == "all" else examples}
    given = [*overrides(**options), *(set_ or ())]
    suites = _suites(suite, targets, given)
    ways = [ways_to_measure(each, metric or (), given, at, to or ()) for each in suites]

    from cmbench.cli.finish import collecting, finish, together
    from cmbench.cli.progress import Narrator
    from cmbench.curvature.measure import measure_runs
    from cmbench.curvature.targets import find_targets, other_runs, runs_of
    from cmbench.experiments.environment import pick_device
    from cmbench.report.figures.measured import checked_files

    files = checked_files(plot, [way.metric for how in ways for way in how]) if plot else {}
    found = [find_targets(targets, out, opt or ()) if targets else runs_of(each, out, opt or ()) for each in suites]
    with Narrator(quiet=quiet) as narrator, collecting(json=json) as outcomes:
        measure = partial(measure_runs, listener=narrator, step_done=narrator.step_done, force=force, data_dir=data_dir)
        for own, how in zip(found, ways, strict=True):
            outcomes.append(measure(own, how, out, pick_device(device)))
    outcome = together(outcomes)
    trained = [target.result for own in found for target in own]
    others = [target.result for how in ways for target in other_runs(how, out).values()]
    _draw(outcome.results, [*trained, *others], files, quiet)
    finish(outcome, json=json, beside=trained)


def _suites(name: str, targets: Sequence[str] | None, sets: Sequence[str]) -> list[SharpnessSuite]:
    from cmbench.errors import UserError
    from cmbench.experiments.suite import load_suite, named

    names = named(name, "sharpness")
    if targets and len(names) > 1:
        raise UserError(f"--suite {name}: accepted with TARGET: one suite, not {len(names)}")
    return [load_suite(each, kind="sharpness", sets=sets).settings for each in names]


def _draw(results: Sequence[Result], trained: Sequence[Result], files: Mapping[str, Path], quiet: bool) -> None:
    import sys

    from cmbench.report.figures.drawing import save
    from cmbench.report.figures.measured import measured_figure

    for metric, file in files.items():
        draw = measured_figure([result for result in results if result.settings["metric"] == metric], trained)
        if draw is None:
            print(f"{file}: no figure: no measurement was completed", file=sys.stderr)
            continue
        save(draw(), file)
        if not quiet:
            print(f"figure: {file}", file=sys.stderr)
