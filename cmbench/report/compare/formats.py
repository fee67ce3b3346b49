"""A comparison as text: for the terminal, for a pull request, for programs, for a CI's report of tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cmbench.errors import UserError, unknown
from cmbench.report.compare.cells import CHANGES, CellChange, Change
from cmbench.report.formats.markdown import escaped
from cmbench.report.formats.terminal import captured
from cmbench.report.verdicts.sentences import difference_text

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "cmbench.compare/1"
Format = Literal["terminal", "markdown", "json"]
FORMATS: tuple[Format, ...] = ("terminal", "markdown", "json")
_STYLES: dict[Change, str] = {
    "regressed": "bold red",
    "incomplete": "bold yellow",
    "improved": "bold green",
    "unchanged": "",
    "identical": "dim",
}
_HEADER = ("run", "metric", "base", "new", "difference", "could see", "time", "verdict")


def render_changes(cells: Sequence[CellChange], format: Format = "terminal", *, console: Console | None = None) -> str:
    """`cells` as text that ends with a newline, the most urgent first; identical cells show a time at most.

    `json` is `{"schema": "cmbench.compare/1", "cells": [...]}` with every digit. Raises `UserError` for another format.
    """
    if format == "json":
        return json.dumps({"schema": SCHEMA, "cells": [_document(cell) for cell in cells]}, indent=1) + "\n"
    if format == "markdown":
        return _markdown(cells)
    if format == "terminal":
        return _terminal(cells, console)
    raise unknown("format", format, FORMATS, "--format")


def counts_text(cells: Sequence[CellChange]) -> str:
    """`1 regressed, 30 unchanged`."""
    counts = {change: sum(cell.change == change for cell in cells) for change in CHANGES}
    return ", ".join(f"{count} {change}" for change, count in counts.items() if count) or "nothing to compare"


def write_junit(cells: Sequence[CellChange], file: Path, failing: Sequence[Change]) -> None:
    """Writes a JUnit XML file with a test case per cell: a failure where its change is one of `failing`.

    Other incomplete cells are skipped ones. Raises `UserError` where junitparser is not installed.
    """
    try:
        from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite
    except ImportError:
        raise UserError("--junit needs junitparser, which is not installed: pip install 'cmbench[ci]'") from None
    xml = JUnitXml()
    for name in dict.fromkeys(cell.suite for cell in cells):
        suite = TestSuite(f"cmbench compare {name}")
        for cell in (cell for cell in cells if cell.suite == name):
            case = TestCase(f"{cell.label} {cell.cell} {cell.metric}".replace("  ", " "), classname=cell.suite)
            text = f"{cell.change}: {_numbers(cell)}{_notes(cell)}"
            if cell.change in failing:
                case.result = [Failure(text)]
            elif cell.change == "incomplete":
                case.result = [Skipped(text)]
            suite.add_testcase(case)
        xml.add_testsuite(suite)
    file.parent.mkdir(parents=True, exist_ok=True)
    xml.write(str(file), pretty=True)


def _by_urgency(cells: Sequence[CellChange]) -> list[CellChange]:
    """The cells that are shown; of an optimizer's identical ones the first, if its time can be compared."""
    first = {cell.title: cell for cell in reversed(cells)}
    shown = [cell for cell in cells if cell.change != "identical" or (cell.time and first[cell.title] is cell)]
    return sorted(shown, key=lambda cell: CHANGES.index(cell.change))


def _cells(cell: CellChange) -> list[str]:
    """A row of the table: the texts under `_HEADER`."""
    difference = ""
    if cell.comparison:
        difference = difference_text(cell.comparison)
        difference += f" {'' if cell.paired else 'other seeds, '}n={cell.comparison.n}"
    time = "" if cell.time is None else f"×{cell.time.value:.2f} [{cell.time.low:.2f}, {cell.time.high:.2f}]"
    visible = "" if cell.visible is None else f"±{cell.visible:.2g}"
    means = ["" if mean is None else f"{mean:.4g}".replace("-", "−") for mean in (cell.base, cell.new)]
    return [cell.title, cell.metric, *means, difference, visible, time, cell.change + _notes(cell)]


def _numbers(cell: CellChange) -> str:
    """`94.58 → 83.54, −11 [−19.3, −2.79] n=4, could see ±11`."""
    _, _, base, new, difference, visible, time, _ = _cells(cell)
    means = base if cell.change == "identical" else " → ".join(text for text in (base, new) if text)
    parts = [means, difference, f"could see {visible}" if visible else "", f"time {time}" if time else ""]
    return ", ".join(part for part in parts if part)


def _notes(cell: CellChange) -> str:
    return f" ({'; '.join(cell.notes)})" if cell.notes else ""


def _terminal(cells: Sequence[CellChange], console: Console | None) -> str:
    from rich.padding import Padding
    from rich.text import Text

    buffer, printed = captured(console)
    change = None
    for cell in _by_urgency(cells):
        if cell.change != change:
            change = cell.change
            buffer.print(Text(f"\n{change}", style=_STYLES[change]))
        line = Text.assemble((cell.title, "bold"), f": {cell.metric} {_numbers(cell)}", (_notes(cell), "dim"))
        buffer.print(Padding(line, (0, 0, 0, 2)))
    buffer.print(Text(f"\n{counts_text(cells)}", style="bold"))
    buffer.print(Text(_EXPLANATION, style="dim"))
    return "\n".join(line.rstrip() for line in printed.getvalue().strip("\n").splitlines()) + "\n"


def _markdown(cells: Sequence[CellChange]) -> str:
    from tabulate import tabulate

    rows = [[escaped(text) for text in _cells(cell)] for cell in _by_urgency(cells)]
    body = tabulate(rows, headers=_HEADER, tablefmt="pipe", disable_numparse=True) + "\n\n" if rows else ""
    return f"**{counts_text(cells)}**\n\n{body}{_EXPLANATION}\n"


_EXPLANATION = (
    "difference: new − base with its 95 % interval, paired by seed and start where both have them; a verdict is the "
    "interval's, after Holm's correction over all cells. could see: the smallest change found with 80 % power."
)


def _document(cell: CellChange) -> dict[str, Any]:
    document, found = asdict(cell), cell.comparison
    del document["comparison"]
    return document | {
        "difference": found and found.effect,
        "interval": found and found.interval,
        "n": found and found.n,
    }
