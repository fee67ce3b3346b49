"""The paper's tables as it prints them: each one table, across all the suites that it takes, with what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cmbench.errors import UserError
from cmbench.experiments.result import Result
from cmbench.experiments.suite import ResolvedSuite, load_suite, suites_of
from cmbench.report.results import out_option
from cmbench.report.runs.data import NOT_PUBLISHED
from cmbench.report.runs.plan import plan_of
from cmbench.report.table import Cell, Column, Row, Table
from cmbench.report.tables.build import tables
from cmbench.report.tables.fill import mark_best
from cmbench.report.tables.printed_settings import PRINTED_SETTINGS


@dataclass(frozen=True)
class _Merged:
    """A table of results: its title in our words, the suites it takes, the columns of each by key.

    Where suites stand for the values of a setting, `row` says what a row of one is called, and `column` which columns
    it fills.
    """

    title: str
    suites: tuple[str, ...]
    keys: tuple[str, ...]
    row: Callable[[ResolvedSuite[Any], Row], str] = lambda suite, row: row.title
    column: Callable[[str], str] = lambda suite: suite


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


_BATCHES = _Merged(
    "best validation accuracy of Adam+CM, by batch size",
    tuple(f"figure10_{data}_b{size}" for data in ("cifar10", "cifar100") for size in (32, 64, 128, 256)),
    ("val_accuracy_best",),
    lambda suite, row: f"batches of {suite.settings.batch_size}",
    lambda suite: suite.split("_")[1],
)
_BUFFERS = _Merged(
    "best validation accuracy of Adam+CM, and sharpness where it was measured, by size of the buffer",
    ("figure9_cifar10", "figure9_cifar100"),
    ("val_accuracy_best", "top_eigenvalue_final", "top_eigenvalue"),
    lambda suite, row: f"C = {row.hyperparameters['capacity']}",
    lambda suite: suite.split("_")[1],
)
_AXES: Mapping[int, tuple[_Merged, ...]] = {9: (_BUFFERS,), 10: (_BATCHES, _BUFFERS)}
"""The figures that show results by the values of one setting: one table each, whatever suites have them."""


@dataclass(frozen=True)
class PlaceTables:
    """The tables of a place, and a line for each suite of which results are missing, with the command."""

    tables: tuple[Table, ...]
    missing: tuple[str, ...]


def place_tables(
    kind: Literal["table", "figure"], number: int, results: Sequence[Result], out: Path | str = "results"
) -> PlaceTables:
    """Table or figure `number` of the paper by `results`: a table of the paper as one, a figure's suites one by one.

    A figure over the values of a setting is one table with a row for each value.

    Only runs with the settings of the suites' files count in a table. The commands for what is missing write into the
    folder `out`. Raises `UserError` for a number that the paper does not have, or a figure that no suite is about.
    """
    if kind == "table" and number in PRINTED_SETTINGS:
        return PlaceTables((PRINTED_SETTINGS[number](number),), ())
    if kind == "table":
        if number not in _MERGED:
            raise UserError(f"--table {number}: accepted: 1 to 14")
        return _merged(f"Table {number}", _MERGED[number], results, out)
    if kind == "figure" and number in _AXES:
        places = [_merged(f"Figure {number}", axis, results, out) for axis in _AXES[number]]
        return PlaceTables(tuple(t for p in places for t in p.tables), tuple(m for p in places for m in p.missing))
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


def _merged(place: str, what: _Merged, results: Sequence[Result], out: Path | str) -> PlaceTables:
    columns: dict[str, Column[Any]] = {}
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
                where = what.column(name) if len(parts) == 1 else str(part.settings.get("surface", part.title))
                key = f"{where}.{column.key}"
                short = where.removesuffix("_sgd").removesuffix("_online")
                title = column.title if len(what.suites) == 1 == len(parts) else f"{short}: {column.title}"
                columns.setdefault(key, replace(column, key=key, title=title))
                for row in part.rows:
                    called = what.row(suite, row)
                    first.setdefault(called, replace(row, title=called))
                    cells.setdefault(called, {})[key] = _cell(row, row.cells[i])
            notes += [
                note for note in part.footnotes if note.startswith((f"paper, {place}", "speed-up:", NOT_PUBLISHED))
            ]
        if not _complete(planned, own):
            missing.append(_command(suite, out))
    rows = [
        replace(
            row, cells=tuple(cells[title].get(key, Cell(notes=("not in the suite",))) for key in columns), runs=None
        )
        for title, row in first.items()
    ]
    kind = load_suite(what.suites[0]).settings.kind
    has_spread = any(cell.spread is not None for row in rows for cell in row.cells)
    table = Table(
        suite=place.lower().replace(" ", ""),
        kind=kind,
        title=place,
        caption=(what.title,),
        settings={},
        columns=tuple(columns.values()),
        rows=tuple(mark_best(rows, list(columns.values()))),
        lead=len(columns),
        footnotes=(
            *([f"± is the standard deviation over {'seeds' if kind == 'train' else 'starts'}"] if has_spread else []),
            f"paper: {place}",
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
