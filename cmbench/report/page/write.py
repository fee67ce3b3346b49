"""Writes the page of what is asked for: finds results, judges claims, makes tables, and puts them into one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cmbench.errors import UserError
from cmbench.experiments.atomic import write_bytes
from cmbench.experiments.suite import suites_of
from cmbench.report.figures.drawing import Views
from cmbench.report.page.build import render_page
from cmbench.report.results import Results, load_results
from cmbench.report.tables.build import grouped_tables
from cmbench.report.tables.places import place_tables
from cmbench.report.verdicts.judge import Verdict, judge


def write_page(
    file: Path | str,
    out: Path | str,
    views: Views,
    *,
    suites: Sequence[str] = (),
    tables: Sequence[int] = (),
    figures: Sequence[int] = (),
) -> bool:
    """Writes the page about the results below `out` to `file`; False, and no file, where there are none.

    All of them, or those of `suites` (by name, place or file), and of the tables and figures of the paper that are
    asked for by number. Claims are judged by all results, as `judge` does; those of other suites are not shown. Raises
    `UserError` for a `file` that is a folder, a file that holds no result, or a number that the paper does not have.
    """
    file = Path(file)
    if file.is_dir():
        raise UserError(f"--html {file}: accepted: a file, e.g. {file / 'report.html'}")
    if blocked := next((each for each in file.parents if each.exists() and not each.is_dir()), None):
        raise UserError(f"--html {file}: {blocked} is no folder")
    every = load_results(out)
    numbers: list[tuple[Literal["table", "figure"], int]] = [("table", number) for number in tables]
    numbers += [("figure", number) for number in figures]
    places = [table for kind, number in numbers for table in place_tables(kind, number, every, out).tables]
    asked = [*suites, *(f"{kind}{number}" for kind, number in numbers if suites_of(f"{kind}{number}"))]
    found = load_results(out, asked) if asked else every
    kept = found if asked or not numbers else Results(())
    if not kept and not places:
        return False
    names = {result.suite.name for result in kept} if asked else None
    groups = grouped_tables(kept)
    measured = [result for result in kept if result.kind == "sharpness"]
    page = render_page(groups, _verdicts(every, names), views, measured=measured, places=places)
    write_bytes(file, page.encode())
    return True


def _verdicts(results: Results, names: set[str] | None) -> list[Verdict]:
    """Those about suites with these names; without names all of them."""
    return [verdict for verdict in judge(results) if names is None or verdict.claim.suite in names]
