"""`cmbench escape-ratio`: how often optimizers leave a sharp minimum for a flat one."""

from __future__ import annotations

from typing import Annotated

import typer

from cmbench.cli import landscapes
from cmbench.cli.options import DEFAULT_OUT, Force, Json, Opt, Out, Quiet, Set, overrides
from cmbench.cli.plots import Plot


def escape_ratio(
    suite: landscapes.Suite = None,
    opt: Opt = None,
    dim: landscapes.Dim = None,
    sharpness: landscapes.Coefficients = None,
    capacity: Annotated[
        list[str] | None,
        typer.Option("--capacity", metavar="C,…", help="Every optimizer that has a memory, with these capacities."),
    ] = None,
    starts: landscapes.Starts = None,
    steps: landscapes.Steps = None,
    seed: landscapes.Seed = None,
    set_: Set = None,
    device: landscapes.Device = "cpu",
    out: Out = DEFAULT_OUT,
    plot: Plot = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Count the starts that end in the flat minimum of the sharp/flat function, by sharpness coefficient.

    Without --suite: `escape_1d` for --dim 1, else `escape_10d`.
    """
    from cmbench.experiments.settings import LandscapeSuite
    from cmbench.experiments.suite import ResolvedSuite, load_suite
    from cmbench.landscapes.select import with_capacities

    names = landscapes.expanded(suite, "escape-ratio") if suite else ["escape_1d" if dim == 1 else "escape_10d"]
    coefficients = landscapes.numbers("--sharpness", sharpness, float)
    capacities = landscapes.numbers("--capacity", capacity)
    sets = [
        *overrides(dim=dim, sharpness=coefficients, starts=starts, steps=steps, seed=seed),
        *(set_ or ()),
    ]
    resolved: list[ResolvedSuite[LandscapeSuite]] = [
        load_suite(name, kind="escape-ratio", opts=opt or (), sets=sets) for name in names
    ]
    if capacities:
        resolved = [with_capacities(each, capacities) for each in resolved]
    landscapes.run_and_print(resolved, out=out, force=force, quiet=quiet, json=json, device=device, plot=plot)
