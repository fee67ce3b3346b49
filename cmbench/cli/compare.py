"""`cmbench compare`: what has become better or worse from one set of results to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cmbench.cli.options import DEFAULT_OUT, Json

if TYPE_CHECKING:
    from cmbench.report.compare.cells import Change


Base = Annotated[
    Path | None, typer.Argument(metavar="[BASE]", help="The results to compare with: a folder or a baseline file.")
]
New = Annotated[
    Path | None, typer.Argument(metavar="[NEW]", help="The results to judge: a folder or a file. [default: results]")
]
Suite = Annotated[
    list[str] | None, typer.Option("--suite", metavar="NAME|FILE", help="Only this suite. Repeatable. [default: all]")
]
Tolerance = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance",
        metavar="METRIC=NUMBER",
        help="A change of this size is none, e.g. val_accuracy=0.5. Repeatable. [default: 0]",
    ),
]
FailOn = Annotated[
    Literal["regressed", "incomplete", "never"],
    typer.Option("--fail-on", help="Exit 1 where something has regressed; or where it could not be compared, too."),
]
Save = Annotated[
    Path | None, typer.Option("--save", metavar="FILE", help="Write BASE (default: results) as a baseline file.")
]
Summary = Annotated[
    Path | None, typer.Option("--summary", metavar="FILE", help="Append Markdown for a pull request to this file.")
]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit XML file.")]
Format = Annotated[Literal["terminal", "markdown", "json"], typer.Option("--format", help="How to print.")]


def compare(
    base: Base = None,
    new: New = None,
    suite: Suite = None,
    tolerance: Tolerance = None,
    fail_on: FailOn = "regressed",
    save: Save = None,
    summary: Summary = None,
    junit: Junit = None,
    format: Format = "terminal",
    json: Json = False,
) -> None:
    """Say what has regressed or improved from BASE to NEW: paired by seed, with intervals, corrected over all cells."""
    from cmbench.errors import UserError
    from cmbench.report.compare.cells import changes
    from cmbench.report.compare.formats import render_changes, write_junit
    from cmbench.report.compare.sides import read_side

    if save:
        if new:
            raise UserError("--save: accepted: one results folder")
        side = read_side(base or DEFAULT_OUT, suite or ())
        side.save(save)
        print(f"{save}: {sum(len(group.runs) for group in side.groups)} runs of {side.name}")
        return
    if base is None:
        raise UserError("compare: missing: BASE, a results folder or a baseline file (`--save FILE` writes one)")
    cells = changes(
        read_side(base, suite or ()), read_side(new or DEFAULT_OUT, suite or ()), _tolerances(tolerance or [])
    )
    print(render_changes(cells, "json" if json else format), end="")
    failing: list[Change] = []
    if fail_on != "never":
        failing = ["regressed", "incomplete"] if fail_on == "incomplete" else ["regressed"]
    if summary:
        summary.parent.mkdir(parents=True, exist_ok=True)
        with summary.open("a", encoding="utf-8") as file:
            file.write(render_changes(cells, "markdown"))
    if junit:
        write_junit(cells, junit, failing)
    if any(cell.change in failing for cell in cells):
        raise typer.Exit(1)


def _tolerances(given: list[str]) -> dict[str, float]:
    from cmbench.errors import UserError

    found = {}
    for text in given:
        name, equals, number = text.partition("=")
        try:
            found[name] = float(number if equals else "")
        except ValueError:
            raise UserError(f"--tolerance {text}: accepted: METRIC=NUMBER, e.g. val_accuracy=0.5") from None
    return found
