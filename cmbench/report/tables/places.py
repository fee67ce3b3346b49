"""The paper's tables as it prints them: each one table, across all the suites that it takes, with what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cmbench.errors import UserError
from cmbench.experiments.result import Result
from cmbench.experiments.suite import ResolvedSuite, load_suite, suites_of
from cmbench.report.results import out_option
from cmbench.report.runs.plan import plan_of
from cmbench.report.table import Cell, Column, Row, Table
from cmbench.report.tables.build import tables
from cmbench.report.tables.fill import mark_best
from cmbench.report.tables.printed_settings import PRINTED_SETTINGS


@dataclass(frozen=True)
class _Merged:
    """A table of results: its title in our words, the suites it takes, the columns of each by key."""

    title: str
    suites: tuple[str, ...]
    keys: tuple[str, ...]


_MERGED: Mapping[int, _Merged] = {
    1: _Merged("loss and sharpness at the end, on two surfaces", ("table1",), ("loss_final", "sharpness")),
    2: _Merged("best validation perplexity or accuracy", ("ptb", "cifar10", "cifar100", "imagenet"),
               ("val_perplexity_best", "val_accuracy_best")),
    3: _Merged("best validation accuracy, and speed-up over SGD", ("cifar10_sgd", "cifar100_sgd"),
               ("val_accuracy_best", "speed_up")),
    4: _Merged("learning accuracy on streams of tasks", ("tinyimagenet_online", "five_datasets_online"),
               ("learning_accuracy",)),
    5: _Merged("loss and sharpness at the end on Levy, by buffer", ("table5",), ("loss_final", "sharpness")),
    14: _Merged("best validation accuracy of Adam, by learning rate", ("table14",), ("val_accuracy_best",)),
}  # fmt: skip


@dataclass(frozen=True)
class PlaceTables:
    """The tables of a place, and a line for each suite of which results are missing, with the command."""

    tables: tuple[Table, ...]
    missing: tuple[str, ...]


def place_tables(
    kind: Literal["table", "figure"], number: int, results: Sequence[Result], out: Path | str = "results"
) -> PlaceTables:
    """Table or figure `number` of the paper by `results`: a table of the paper as one, a figure's suites one by one.

    Only runs with the settings of the suites' files count in a table. The commands for what is missing write into the
    folder `out`. Raises `UserError` for a number that the paper does not have, or a figure that no suite is about.
    """
    if kind == "table" and number in PRINTED_SETTINGS:
        return PlaceTables((PRINTED_SETTINGS[number](number),), ())
    if kind == "table":
        if number not in _MERGED:
            raise UserError(f"--table {number}: accepted: 1 to 14")
        return _merged(number, _MERGED[number], results, out)
    names = suites_of(f"figure{number}")
    if not names:
        raise UserError(f"--figure {number}: no suite is about it; accepted: {', '.join(map(str, _figures()))}")
    found: list[Table] = []
    missing: list[str] = []
    for name in names:
        suite, own, planned = _plan(name, results)
        if own:
            found += tables(own, suites=[suite])
        if not _complete(planned, own):
            missing.append(_command(suite, out))
    return PlaceTables(tuple(found), tuple(missing))


def missing_in(found: Sequence[Table], out: Path | str = "results") -> list[str]:
    """A line for every table that shows runs as missing, with the command that would fill it, in the folder `out`."""
    lines = []
    for table in found:
        runs = any(row.runs is not None and row.runs.missing for row in table.rows)
        if runs or any("missing" in cell.notes for row in table.rows for cell in row.cells):
            same = " with the same --set" if any(difference.from_suite for difference in table.differs) else ""
            command = f"cmbench {table.kind} --suite {table.suite}{out_option(out)}"
            lines.append(f"{table.suite}: some results are missing; to get them: {command}{same}")
    return list(dict.fromkeys(lines))


def _figures() -> list[int]:
    return [number for number in range(1, 21) if suites_of(f"figure{number}")]


def _plan(name: str, results: Sequence[Result]) -> tuple[ResolvedSuite, list[Result], list[Any]]:
    suite = load_suite(name)
    own = [result for result in results if result.suite.name == name]
    planned = plan_of(suite, [result for result in own if result.kind == suite.settings.kind])
    return suite, own, planned


def _complete(planned: Sequence[Any], own: Sequence[Result]) -> bool:
    finished = {result.id for result in own if result.finished}
    return bool(planned) and all(spec.id in finished for spec in planned)


def _command(suite: ResolvedSuite, out: Path | str) -> str:
    command = f"cmbench {suite.settings.kind} --suite {suite.name}{out_option(out)}"
    return f"{suite.name}: results are missing; to get them: {command}"


def _merged(number: int, what: _Merged, results: Sequence[Result], out: Path | str) -> PlaceTables:
    columns: list[Column[Any]] = []
    cells: dict[str, dict[str, Cell]] = {}
    first: dict[str, Row] = {}
    notes: list[str] = []
    missing: list[str] = []
    for name in what.suites:
        suite, own, planned = _plan(name, results)
        parts = [
            table
            for table in tables(own, suites=[suite], expected=planned)
            if not any(difference.from_suite for difference in table.differs)
        ]
        for part in parts:
            for i, column in enumerate(part.columns):
                if column.key not in what.keys:
                    continue
                where = name if len(parts) == 1 else str(part.settings.get("surface", part.title))
                key = f"{where}.{column.key}"
                short = where.removesuffix("_sgd").removesuffix("_online")
                title = column.title if len(what.suites) == 1 == len(parts) else f"{short}: {column.title}"
                columns.append(replace(column, key=key, title=title))
                for row in part.rows:
                    first.setdefault(row.title, row)
                    cells.setdefault(row.title, {})[key] = _cell(row, row.cells[i])
            notes += [note for note in part.footnotes if note.startswith((f"paper, Table {number}", "speed-up:"))]
        if not _complete(planned, own):
            missing.append(_command(suite, out))
    rows = [
        replace(
            row, cells=tuple(cells[title].get(c.key, Cell(notes=("not in the suite",))) for c in columns), runs=None
        )
        for title, row in first.items()
    ]
    kind = load_suite(what.suites[0]).settings.kind
    has_spread = any(cell.spread is not None for row in rows for cell in row.cells)
    table = Table(
        suite=f"table{number}",
        kind=kind,
        title=f"Table {number}",
        caption=(what.title,),
        settings={},
        columns=tuple(columns),
        rows=tuple(mark_best(rows, columns)),
        lead=len(columns),
        footnotes=(
            *([f"± is the standard deviation over {'seeds' if kind == 'train' else 'starts'}"] if has_spread else []),
            f"paper: Table {number}",
            *dict.fromkeys(notes),
            *missing,
        ),
    )
    return PlaceTables((table,), tuple(missing))


def _cell(row: Row, cell: Cell) -> Cell:
    """The cell as it stands among those of other suites, whose counts of runs differ."""
    counts = row.runs
    if cell.value is None:
        return replace(cell, notes=cell.notes or ("missing",))
    if counts and counts.completed != counts.expected:
        return replace(cell, notes=tuple(dict.fromkeys([*cell.notes, counts.text])))
    return cell
