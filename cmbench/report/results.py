"""Finds the stored results that are asked for, and says what would produce those that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from cmbench.errors import UserError, suggest
from cmbench.experiments.files import folder_name
from cmbench.experiments.grid import shipped, suite_of_grid
from cmbench.experiments.reader import collector_paused
from cmbench.experiments.result import Result
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import ResolvedSuite, builtin_suites, is_file_name, load_suite, named, suites_of
from cmbench.report.runs.same_settings import flat

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Results(Sequence[Result]):
    """Results in the order of their files: a sequence of records.

    `suites` are those that were given by file, which say more than a name does; `missing` holds a message for each
    suite of which there is no result, `unreadable` one for each file that should hold one and does not.
    """

    records: tuple[Result, ...]
    suites: tuple[ResolvedSuite, ...] = ()
    missing: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Result, ...]: ...
    def __getitem__(self, index: int | slice) -> Result | tuple[Result, ...]:
        return self.records[index]

    def of_place(self, kind: Literal["table", "figure"], number: int) -> Results:
        """Those of the suites of table or figure `number` of the paper, with measurements of their runs."""
        names = suites_of(f"{kind}{number}")
        return Results(tuple(record for record in self.records if record.suite.name in names), self.suites)

    def to_frame(self) -> pandas.DataFrame:
        """A pandas DataFrame with a row per run.

        Its columns are `suite`, `kind`, `label` and `optimizer` (the registry name), `seed`, `status`, `id`, and below
        them, by dotted names as in a result's JSON, `hyperparameters.lr`, `settings.epochs`,
        `metrics.val_accuracy_best`, `cost.wall_seconds` and so on; a run that lacks one has no value there.
        Raises `UserError` where pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UserError("to_frame needs pandas, which is not installed: pip install pandas") from None
        rows = [_by_name(result) for result in self.records]
        # Stable, so that within hyperparameters, settings, metrics and cost the order is that of the results.
        names = sorted(dict.fromkeys(name for row in rows for name in row), key=_place)
        return pandas.DataFrame(rows, columns=names or list(_WHO))


def load_results(out: Path | str = "results", suites: str | Sequence[str] = ()) -> Results:
    """Reads the results below the folder `out`: all of them, or those of the `suites` given by name, place or file.

    Raises `UserError` for a suite file that cannot be used. A suite of which there is no result is no error: `missing`
    says what would produce it. Nor is a file that holds none, which is passed over: `unreadable` says what is wrong.
    """
    out, store = Path(out), ResultStore(out)
    unreadable: list[str] = []
    names = [suites] if isinstance(suites, str) else suites
    if not names:
        with collector_paused():
            found = tuple(result for _, result in store.results(unreadable=unreadable))
        missing = (
            []
            if found or unreadable
            else [f"{out}: no results; for some: cmbench train --suite digits{out_option(out)}"]
        )
        return Results(found, (), tuple(missing), tuple(unreadable))
    results, given, missing = [], [], []
    for name in dict.fromkeys(each for given_name in names for each in _meant(given_name, out)):
        suite = load_suite(name) if is_file_name(name) else shipped(name)
        stem = suite.name if suite else name
        with collector_paused():
            own = [result for _, result in store.results(stem, unreadable) if result.suite.name == stem]
        results += own
        if suite and is_file_name(name):
            given.append(suite)
        if not own:
            missing.append(_what_is_missing(out, name, stem, suite))
    return Results(tuple(results), tuple(given), tuple(missing), tuple(unreadable))


def _what_is_missing(out: Path, name: str, stem: str, suite: ResolvedSuite | None) -> str:
    """That there is no result of a suite, and the command that would produce some."""
    folder = out / folder_name(stem)
    if suite:
        grid = suite_of_grid(name) if suite.first_seed else None
        which = f"{grid} --grid" if grid else name
        command = f"cmbench {suite.settings.kind} --suite {which}{out_option(out)}"
        return f"{folder}: no results of suite '{stem}'; to get them: {command}"
    known = {*builtin_suites(), *(path.name for path in out.glob("*") if path.is_dir())}
    hint = suggest(name, sorted(known))
    command = f"cmbench train --suite {name}.yaml{out_option(out)} runs a suite of your own"
    return f"{folder}: no results of suite '{name}': {hint}{command}"


def _meant(name: str, out: Path) -> list[str]:
    """The suites of a place in the paper (`table2`), unless there are results of a suite that is called like it."""
    return [name] if (out / folder_name(name)).is_dir() else named(name)


def out_option(out: Path | str) -> str:
    """What a command needs to write into the folder `out`: ` --out DIR`, or nothing for the default one."""
    return "" if Path(out) == Path("results") else f" --out {out}"


_WHO = ("suite", "kind", "label", "optimizer", "seed", "status", "id")
_PARTS = ("hyperparameters", "settings", "metrics", "cost")


def _place(name: str) -> int:
    """Where a column of the table for pandas stands: who ran comes first, then part by part."""
    return 0 if name in _WHO else 1 + _PARTS.index(name.partition(".")[0])


def _by_name(result: Result) -> dict[str, Any]:
    """What is known of a run by the names of the columns of the table for pandas."""
    optimizer = result.optimizer
    label, name, hyperparameters = (
        (optimizer.label, optimizer.name, optimizer.hyperparameters) if optimizer else (None, None, {})
    )
    who = (result.suite.name, result.kind, label, name, result.seed, result.status, result.id)
    parts = (hyperparameters, result.settings, result.metrics, result.cost.model_dump() if result.cost else {})
    return dict(zip(_WHO, who, strict=True)) | {
        f"{part}.{key}": value
        for part, values in zip(_PARTS, parts, strict=True)
        for key, value in flat(values).items()
    }
