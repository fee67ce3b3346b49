"""`cmbench toy`: optimizers on analytic surfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmbench.cli import landscapes
from cmbench.cli.options import DEFAULT_OUT, Force, Json, Opt, Out, Quiet, Set, overrides
from cmbench.cli.plots import Plot

Surface = Annotated[
    str | None,
    typer.Option(
        "--surface", metavar="NAME|MODULE:FUNCTION", help="Another surface than the suite's, or one of its several."
    ),
]
Trace = Annotated[
    list[str] | None,
    typer.Option(
        "--trace", metavar="STEPS", help="Steps whose buffer is recorded, e.g. 1-10 or 50,51: how much cancels?"
    ),
]
ShowSurface = Annotated[
    Path | None,
    typer.Option(
        "--show-surface",
        metavar="FILE|DIR",
        help="Only draw the surface and run nothing: a .png, .svg or .pdf, or DIR/SURFACE.png in a folder.",
    ),
]


def toy(
    suite: landscapes.Suite = None,
    surface: Surface = None,
    opt: Opt = None,
    starts: landscapes.Starts = None,
    steps: landscapes.Steps = None,
    dim: landscapes.Dim = None,
    sharpness: landscapes.Coefficients = None,
    seed: landscapes.Seed = None,
    trace: Trace = None,
    set_: Set = None,
    device: landscapes.Device = "cpu",
    out: Out = DEFAULT_OUT,
    plot: Plot = None,
    show_surface: ShowSurface = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run optimizers on a surface from many start points: where do they end, how sharp is it there?

    Without --suite, the one named like --surface, or `surface`, which takes any.
    """
    from cmbench.errors import UserError
    from cmbench.experiments.suite import load_suite
    from cmbench.landscapes.select import surface_overrides, toy_suite

    names = landscapes.expanded(suite, "toy") if suite else [toy_suite(surface)]
    sets = [
        *overrides(
            starts=starts,
            steps=steps,
            dim=dim,
            sharpness=landscapes.numbers("--sharpness", sharpness, float),
            seed=seed,
            trace=landscapes.numbers("--trace", trace),
        ),
        *(set_ or ()),
    ]
    resolved = [
        load_suite(name, kind="toy", opts=opt or (), sets=[*surface_overrides(name, surface), *sets]) for name in names
    ]
    if show_surface:
        if plot:
            raise UserError("--show-surface and --plot: accepted: one of them")
        for each in resolved:
            landscapes.draw_surfaces(each, show_surface, quiet=quiet)
        return
    landscapes.run_and_print(resolved, out=out, force=force, quiet=quiet, json=json, device=device, plot=plot)
