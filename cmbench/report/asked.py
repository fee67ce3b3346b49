"""What a report is asked for, found: results, their tables by group, tables of the paper, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cmbench.experiments.plan import seeds_text
from cmbench.experiments.result import Result
from cmbench.experiments.sweep.space import SUFFIX
from cmbench.experiments.text import canonical
from cmbench.report.results import Results, load_results
from cmbench.report.runs.run import asked_seeds
from cmbench.report.table import Table
from cmbench.report.tables.build import GroupTables, grouped_tables
from cmbench.report.tables.places import missing_in, place_tables

Place = tuple[Literal["table", "figure"], int]


@dataclass(frozen=True)
class Asked:
    """`groups` are the runs of `suites` (all, where nothing is asked for) with their tables, `of_places` the tables of
    the `places` in the paper, whose results are in `of_place`; `missing` says what would produce what is not there."""

    out: Path
    suites: tuple[str, ...]
    places: tuple[Place, ...]
    results: Results
    of_place: Mapping[Place, Results]
    groups: tuple[GroupTables, ...]
    of_places: tuple[Table, ...]
    missing: tuple[str, ...]

    @property
    def tables(self) -> list[Table]:
        """All of them, in the order in which they are printed."""
        return [*(table for each in self.groups for table in each.tables), *self.of_places]


def ask(out: Path | str, suites: Sequence[str] = (), tables: Sequence[int] = (), figures: Sequence[int] = ()) -> Asked:
    """Everything below `out`, or the results of `suites`, and the tables and figures of the paper with these numbers.

    Raises `UserError` for a number that the paper does not have.
    """
    out = Path(out)
    places: list[Place] = [("table", number) for number in tables]
    places += [("figure", number) for number in figures]
    results, groups = Results(()), list[GroupTables]()
    missing: list[str] = []
    if suites or not places:
        results = load_results(out, suites)
        groups = grouped_tables(results)
        missing += [*results.unreadable, *results.missing]
        shown = [table for each in groups for table in each.tables]
        missing += missing_in(shown, out) if suites else _unfinished(results)
    every = load_results(out) if places else results
    found = [place_tables(kind, number, every, out) for kind, number in places]
    missing += [*every.unreadable, *(line for place in found for line in place.missing)]
    of_places = tuple(table for place in found for table in place.tables)
    own = {place: every.of_place(*place) for place in places}
    absent = tuple(dict.fromkeys(missing))
    return Asked(out, tuple(suites), tuple(places), results, own, tuple(groups), of_places, absent)


def _unfinished(results: Iterable[Result]) -> list[str]:
    """A line for every optimizer of a suite of which a command was to train seeds that have not come to their end.

    What counts are its latest settings: whoever has changed them does not want the earlier ones any more.
    """
    of_settings: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for result in results:
        optimizer = result.optimizer
        if result.kind == "train" and optimizer and not result.suite.name.endswith(SUFFIX):  # a sweep cuts trials short
            same = canonical([optimizer.name, optimizer.hyperparameters, result.settings])
            of_settings.setdefault((result.suite.name, optimizer.label), {}).setdefault(same, []).append(result)
    lines = []
    for (suite, label), groups in of_settings.items():
        latest = max(groups.values(), key=lambda group: max(result.created for result in group))
        asked = frozenset[int]().union(*{asked_seeds(result) for result in latest})
        if left := asked - {result.seed for result in latest if result.status != "interrupted"}:
            seeds = seeds_text(left)
            lines.append(f"{suite}: {label}: not finished: seeds {seeds}; the same cmbench train goes on from there")
    return lines
