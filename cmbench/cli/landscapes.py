"""What `toy` and `escape-ratio` share: their options as overrides of the suite, the run, the table, the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cmbench.experiments.suite import ResolvedSuite

Suite = Annotated[str | None, typer.Option("--suite", metavar="NAME|FILE", help="What to run.")]
Starts = Annotated[
    int | None, typer.Option("--starts", metavar="N", help="Number of start points, drawn from the seed.")
]
Steps = Annotated[int | None, typer.Option("--steps", metavar="N", help="Steps of every optimizer.")]
Dim = Annotated[int | None, typer.Option("--dim", metavar="D", help="Number of coordinates.")]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Draws the start points.")]
Sharpness = Annotated[
    list[float] | None,
    typer.Option("--sharpness", metavar="S", help="Only this coefficient s of the sharp/flat function. Repeatable."),
]
Device = Annotated[
    str, typer.Option("--device", metavar="cpu|cuda|…", help="Where to compute; on the CPU a step costs least.")
]


def overrides(**options: Any) -> list[str]:
    """The options that were given, as `--set` assignments."""
    given = {key: value for key, value in options.items() if value is not None}
    return [f"{key}={list(value) if isinstance(value, (list, tuple)) else value}" for key, value in given.items()]


def run_and_print(suite: ResolvedSuite, *, out: Path, force: bool, quiet: bool, json: bool, device: str) -> None:
    """Runs what is not finished and prints the tables, or the results as JSON."""
    from cmbench.cli.finish import finish
    from cmbench.cli.progress import Narrator
    from cmbench.experiments.environment import pick_device
    from cmbench.experiments.store import ResultStore
    from cmbench.landscapes import run_suite

    target = pick_device(device)
    with Narrator(quiet=quiet) as narrator:
        outcome = run_suite(suite, ResultStore(out), force=force, device=str(target), listener=narrator)
    finish(outcome, json=json, suite=suite)
