"""`cmbench report`: the stored results as the paper's tables."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cmbench.cli.options import DEFAULT_OUT, Json, Out


def report(
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", metavar="NAME|FILE", help="Only this suite. Repeatable. [default: all]"),
    ] = None,
    out: Out = DEFAULT_OUT,
    format: Annotated[
        Literal["terminal", "markdown", "latex", "csv", "json"],
        typer.Option("--format", help="How to print; csv and json hold every digit."),
    ] = "terminal",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what every column of every table means, and print no table.")
    ] = False,
    json: Json = False,
) -> None:
    """Print what the results say: mean ± standard deviation beside the paper's numbers, and what is missing."""
    import cmbench.report as report
    from cmbench.errors import MissingResults

    if explain:
        print(report.explain("json" if json else format), end="")
        return
    found = report.load_results(out, suite or ())
    if found:
        print(report.render(report.tables(found), "json" if json else format), end="")
    if found.missing:
        raise MissingResults("\n".join(found.missing))
