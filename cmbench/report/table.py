"""What a table is made of: columns that read cells from runs, rows with counts of runs, and the words around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from cmbench.experiments.kinds import Kind
from cmbench.report.paper.numbers import PaperValue

Direction = Literal["higher", "lower"]
NumberFormat = Literal["hundredths", "significant", "integer", "share", "ratio", "rate"]
Source = TypeVar("Source", contravariant=True)


@dataclass(frozen=True)
class Cell:
    """One aggregate: the mean of `n` values, their sample standard deviation, the paper's number for the same.

    `interval` is set instead of `spread` for a difference or an escape ratio: the ends of its 95 % interval. `notes`
    says what a reader must know to read the number, or why there is none. A share (of starts) has neither. `missed`
    counts the runs that never reached what the column measures the way to: they are not in the mean.
    """

    value: float | None = None
    spread: float | None = None
    n: int = 0
    interval: tuple[float, float] | None = None
    paper: PaperValue | None = None
    best: bool = False
    notes: tuple[str, ...] = ()
    missed: int = 0


@dataclass(frozen=True)
class Column(Generic[Source]):
    """A quantity that a table shows: under which title, which direction is better (None: neither), how it is printed.

    `explanation` says in a sentence what it is, for a reader who has not seen it before. `read` makes the cell of a row
    from what the row stands for: the runs of an optimizer, or a condition number. A column that is `optional` is left
    out where no row has a value; `with_previous` keeps it beside the column before it where a table is printed in
    several parts.
    """

    key: str
    title: str
    direction: Direction | None
    format: NumberFormat
    explanation: str
    read: Callable[[Source], Cell]
    optional: bool = False
    with_previous: bool = False


@dataclass(frozen=True)
class RunCounts:
    """How many runs (or starts of one landscape run) stand behind a row, and what became of the others."""

    unit: Literal["seeds", "starts"]
    completed: int
    expected: int
    diverged: int = 0
    diverged_steps: tuple[int, ...] = ()
    failed: int = 0
    interrupted: int = 0
    missing: int = 0

    @property
    def some_lost(self) -> bool:
        """Whether a mean is over the survivors only."""
        return bool(self.diverged or self.failed)

    @property
    def text(self) -> str:
        """`5/5`, or with its reasons: `4/5 seeds, 1 diverged @ step 312`."""
        reasons = []
        if self.diverged:
            steps = sorted(self.diverged_steps)
            where = ""
            if self.unit == "starts" and self.diverged > 1 and steps:
                where = f" (first @ step {steps[0]})"
            elif len(steps) > 1:
                where = f" @ steps {steps[0]}{'–' if len(steps) > 2 else ' and '}{steps[-1]}"
            elif steps:
                where = f" @ step {steps[0]}"
            reasons.append(f"{self.diverged} diverged{where}")
        for count, status in ((self.failed, "failed"), (self.interrupted, "interrupted"), (self.missing, "missing")):
            if count:
                reasons.append(f"{count} {status}")
        counts = f"{self.completed}/{self.expected}"
        return ", ".join([f"{counts} {self.unit}", *reasons]) if reasons else counts


@dataclass(frozen=True)
class Row:
    """An optimizer with one set of hyperparameters (or one setting of a convergence suite)."""

    title: str
    cells: tuple[Cell, ...]
    label: str | None = None
    optimizer: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    runs: RunCounts | None = None


@dataclass(frozen=True)
class Difference:
    """A setting, by its dotted key, that sets a table apart: from the suite, which has `suite`, or from its sisters."""

    key: str
    value: Any
    from_suite: bool = False
    suite: Any = None


@dataclass(frozen=True)
class Table:
    """Results of one suite with the same settings. The first `lead` columns stand before the count of runs.

    `verbatim` are lines that stand below it as they are, to be copied. `differs` is what sets these settings apart
    from the suite's own and from those of its other tables.
    """

    suite: str
    kind: Kind
    title: str
    caption: tuple[str, ...]
    settings: Mapping[str, Any]
    columns: tuple[Column[Any], ...]
    rows: tuple[Row, ...]
    lead: int = 1
    differs: tuple[Difference, ...] = ()
    footnotes: tuple[str, ...] = ()
    verbatim: tuple[str, ...] = ()
