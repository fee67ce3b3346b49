"""`cmbench toy`: optimizers on analytic surfaces."""

from __future__ import annotations

from typing import Annotated

import typer

from cmbench.cli import landscapes
from cmbench.cli.options import DEFAULT_OUT, Force, Json, Opt, Out, Quiet, Set


def toy(
    suite: landscapes.Suite = None,
    surface: Annotated[
        str | None,
        typer.Option(
            "--surface", metavar="NAME|MODULE:FUNCTION", help="Another surface than the suite's, or one of its several."
        ),
    ] = None,
    opt: Opt = None,
    starts: landscapes.Starts = None,
    steps: landscapes.Steps = None,
    dim: landscapes.Dim = None,
    sharpness: landscapes.Sharpness = None,
    seed: landscapes.Seed = None,
    set_: Set = None,
    device: landscapes.Device = "cpu",
    out: Out = DEFAULT_OUT,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run optimizers on a surface from many start points: where do they end, how sharp is it there?

    Without --suite, the one named like --surface, or `surface`, which takes any.
    """
    from cmbench.experiments.suite import load_suite
    from cmbench.landscapes.select import surface_overrides, toy_suite

    name = suite or toy_suite(surface)
    sets = [
        *surface_overrides(name, surface),
        *landscapes.overrides(starts=starts, steps=steps, dim=dim, sharpness=sharpness, seed=seed),
        *(set_ or ()),
    ]
    resolved = load_suite(name, kind="toy", opts=opt or (), sets=sets)
    landscapes.run_and_print(resolved, out=out, force=force, quiet=quiet, json=json, device=device)
