"""Whether what the paper claims about the order of optimizers comes out in a table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cmbench.experiments.settings import PaperReference
from cmbench.report.columns.escape import ratio_key
from cmbench.report.paper.claims import CLAIMS, Claim, Of
from cmbench.report.paper.lookup import PaperPlace
from cmbench.report.table import Row, Table

_SHOWN = 3
"""How many contradicted rows a sentence names."""


def judged(table: Table, paper: PaperPlace | None, surface: str | None = None) -> Table:
    """`table` with what the paper claims about it below, where its settings and rows are the suite's own.

    A row of which seeds diverged or failed is not judged: its mean is over the others.
    """
    if paper is None or any(difference.from_suite for difference in table.differs):
        return table
    rows = tuple(
        row
        for row in table.rows
        if paper.has(row.label, row.hyperparameters)
        and not (row.runs and row.runs.unit == "seeds" and row.runs.some_lost)
    )
    return replace(table, footnotes=(*table.footnotes, *judge(replace(table, rows=rows), paper.place, surface)))


def judge(table: Table, paper: PaperReference, surface: str | None = None) -> list[str]:
    """A sentence for every claim of that place in the paper: whether it comes out in `table`, and what contradicts it.

    Claims are judged by the means as they stand, without regard to their intervals; where nothing contradicts a claim
    but equal numbers, it is undecided. A claim about rows or columns that `table` does not have is left out.
    """
    sentences = []
    for claim in CLAIMS:
        kind, number = claim.place
        here = getattr(paper, kind) == number and claim.surface in (None, surface)
        if not here or claim.column not in (None, paper.column):
            continue
        pairs = _pairs(claim, table)
        if pairs is None:
            continue
        against = [pair for pair in pairs if pair.beaten(claim)]
        ties = [] if claim.ties else [pair for pair in pairs if pair.value == pair.other_value]
        verdict = "comes out"
        if against:
            verdict = f"does NOT come out: {_listed(against)}"
        elif ties:
            verdict = f"is undecided: {_listed(ties)}"
        sentences.append(f"paper, {kind.capitalize()} {number}: {claim.text}. This {verdict}.")
    return sentences


@dataclass(frozen=True)
class _Pair:
    """A row (or the mean over several) that should be better than another one, in a column.

    `short` says in how many runs the row did not get where the column measures the way to: then it is not better.
    """

    column: str
    name: str
    value: float
    other: str
    other_value: float
    short: str = ""

    def beaten(self, claim: Claim) -> bool:
        if self.short:
            return True
        return self.value > self.other_value if claim.better == "lower" else self.value < self.other_value


def _pairs(claim: Claim, table: Table) -> list[_Pair] | None:
    """All that the claim compares, or None where the table lacks something that it is about."""
    keys, wanted = [column.key for column in table.columns], _keys(claim)
    if not all(key in keys for key in wanted):
        return None
    if not all(_rows(of, table.rows) for group in claim.order for of in group):
        return None
    places = [keys.index(key) for key in wanted]
    groups = [[row for of in group for row in _rows(of, table.rows)] for group in claim.order]
    if any(row.cells[i].value is None and not row.cells[i].missed for group in groups for row in group for i in places):
        return None
    if claim.pooled:
        means = [
            (_name(group), _mean([row.cells[i].value or 0.0 for row in group for i in places])) for group in groups
        ]
        return [_Pair("mean", *better, *worse) for better, worse in itertools.pairwise(means)]
    return [
        _Pair(
            table.columns[i].title,
            row.title,
            row.cells[i].value or 0.0,
            other.title,
            other.cells[i].value or 0.0,
            ", ".join(row.cells[i].notes) if row.cells[i].missed else "",
        )
        for better, worse in itertools.pairwise(groups)
        for i in places
        for row in better
        for other in worse
    ]


def _keys(claim: Claim) -> list[str]:
    """The keys of the columns that the claim is about."""
    if not claim.at_sharpness:
        return list(claim.metrics)
    return [ratio_key(metric, s) for metric in claim.metrics for s in claim.at_sharpness]


def _rows(of: Of, rows: Sequence[Row]) -> list[Row]:
    """Those of `rows` that are meant."""
    return [
        row
        for row in rows
        if row.optimizer == of.optimizer
        and all(row.hyperparameters.get(name) == value for name, value in of.hyperparameters.items())
    ]


def _listed(pairs: Sequence[_Pair]) -> str:
    """`loss: Adam+CM −1.73 beside Adam −2.51, Adam+CG −2.36; …`, the first few."""
    listed: dict[str, list[str]] = {}
    digits = next((d for d in (3, 4, 5) if all(_told_apart(pair, d) for pair in pairs)), 6)
    for pair in pairs:
        short = f" ({pair.short})" if pair.short else ""
        own = f"{pair.column}: {pair.name} {_number(pair.value, digits)}{short}"
        listed.setdefault(own, []).append(f"{pair.other} {_number(pair.other_value, digits)}")
    parts = [f"{own} beside {', '.join(others)}" for own, others in listed.items()]
    more = [f"and {len(parts) - _SHOWN} more"] if len(parts) > _SHOWN else []
    return "; ".join([*parts[:_SHOWN], *more])


def _name(rows: Sequence[Row]) -> str:
    """What the titles of rows have in common, e.g. `Adam+CM`."""
    return rows[0].title if len(rows) == 1 else rows[0].title.partition(" ")[0]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _told_apart(pair: _Pair, digits: int) -> bool:
    return pair.value == pair.other_value or _number(pair.value, digits) != _number(pair.other_value, digits)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}g}".replace("-", "−")
