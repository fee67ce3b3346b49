"""`cmbench convergence`: how fast momentum methods with a memory converge on quadratics."""

from __future__ import annotations

from typing import Annotated

import typer

from cmbench.cli import landscapes
from cmbench.cli.options import DEFAULT_OUT, Force, Json, Out, Quiet, Set, overrides
from cmbench.cli.plots import Plot


def convergence(
    suite: Annotated[str, typer.Option("--suite", metavar="NAME|FILE", help="What to compute.")] = "convergence",
    capacity: Annotated[
        list[str] | None,
        typer.Option("--capacity", metavar="C,…", help="Entries in the buffer; 0 is classical momentum."),
    ] = None,
    set_: Set = None,
    out: Out = DEFAULT_OUT,
    plot: Plot = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compute the best convergence rate of critical momenta by condition number, beside that of classical momentum."""
    from cmbench.experiments.suite import load_suite

    sets = [*overrides(capacity=landscapes.numbers("--capacity", capacity)), *(set_ or ())]
    resolved = load_suite(suite, kind="convergence", sets=sets)
    landscapes.run_and_print([resolved], out=out, force=force, quiet=quiet, json=json, plot=plot)
