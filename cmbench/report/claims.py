"""What the paper says about the order of optimizers, and whether it comes out in a table."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cmbench.experiments.settings import PaperReference
from cmbench.report.grouping import Grouping, key_of
from cmbench.report.records import Row, Table

_SHOWN = 3
"""How many contradicted rows a sentence names."""


@dataclass(frozen=True)
class Of:
    """The rows of an optimizer, by its registry name, with these hyperparameters."""

    optimizer: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """Those of `rows` that are meant."""
        return [
            row
            for row in rows
            if row.optimizer == self.optimizer
            and all(row.hyperparameters.get(name) == value for name, value in self.hyperparameters.items())
        ]


@dataclass(frozen=True)
class Claim:
    """An order of optimizers: every row of a group of `order` is better than every row of the next one.

    `place` is a table or figure of the paper with its number, `surface` one of several surfaces there, `columns` the
    keys of the columns it is about (a share's key may end in a coefficient), `better` the direction. `ties` are
    allowed where the paper says "at least"; `pooled` compares the means over columns and rows instead.
    """

    place: tuple[Literal["table", "figure"], int]
    text: str
    columns: tuple[str, ...]
    better: Literal["lower", "higher"]
    order: tuple[tuple[Of, ...], ...]
    surface: str | None = None
    column: str | None = None
    ties: bool = False
    pooled: bool = False


_ADAM, _SAM, _CG, _CM, _SAM_CM, _MEG = (
    Of(name) for name in ("adam", "adam_sam", "adam_cg", "adam_cm", "adam_sam_cm", "adam_meg")
)
_SGD, _SGD_CG, _SGD_CM = (Of(name) for name in ("sgd", "sgd_cg", "sgd_cm"))


def _escapes(
    place: int, text: str, order: tuple[tuple[Of, ...], ...], coefficients: Sequence[int], **options: Any
) -> list[Claim]:
    """A claim about escape ratios, by each criterion."""
    criteria = {"all": "by every coordinate", "nearer": "by nearer minimum"}
    return [
        Claim(
            ("figure", place),
            f"{text} ({title})",
            tuple(f"escape_ratio_{key} s={s}" for s in coefficients),
            "higher",
            order,
            **options,
        )
        for key, title in criteria.items()
    ]


def _deeper_and_flatter(surface: str) -> list[Claim]:
    order = ((_CM,), (_ADAM, _SAM, _CG))
    return [
        Claim(("table", 1), "Adam+CM ends at the lowest loss", ("loss_final",), "lower", order, surface),
        Claim(("table", 1), "Adam+CM ends at the lowest sharpness", ("sharpness",), "lower", order, surface),
    ]


def _best_of_training(column: str, text: str, order: tuple[tuple[Of, ...], ...]) -> Claim:
    metric, better = ("val_perplexity", "lower") if column == "ptb" else ("val_accuracy", "higher")
    return Claim(("table", 2), text, (f"{metric}_best",), better, order, column=column)


_BY_CAPACITY = tuple((Of("adam_cm", {"capacity": capacity}),) for capacity in (20, 10, 5))
_CM_20 = Of("adam_cm", {"capacity": 20, "decay": 0.99})
_ALL_S = (2, 5, 10, 20, 50, 100)

CLAIMS: tuple[Claim, ...] = (
    *_deeper_and_flatter("goldstein_price"),
    Claim(
        ("table", 1),
        "Adam+SAM ends at a higher loss than the others",
        ("loss_final",),
        "lower",
        ((_ADAM, _CG, _CM), (_SAM,)),
        "goldstein_price",
    ),
    *_deeper_and_flatter("levy"),
    _best_of_training("ptb", "Adam+CM reaches the best perplexity and Adam+SAM the second best",
                      ((_CM,), (_SAM,), (_ADAM, _CG, _SAM_CM))),
    _best_of_training("cifar10", "Adam+SAM+CM reaches the best accuracy", ((_SAM_CM,), (_ADAM, _SAM, _CG, _CM))),
    _best_of_training("cifar10", "Adam+CM is better than Adam, Adam+CG and Adam+SAM", ((_CM,), (_ADAM, _SAM, _CG))),
    *(
        _best_of_training(column, "Adam+CM reaches the best accuracy", ((_CM,), (_ADAM, _SAM, _CG, _SAM_CM)))
        for column in ("cifar100", "imagenet")
    ),
    Claim(
        ("table", 3),
        "SGD+CG and SGD+CM are as good as SGD in fewer epochs",
        ("speed_up",),
        "higher",
        ((_SGD_CG, _SGD_CM), (_SGD,)),
    ),
    Claim(
        ("table", 4),
        "Adam+SAM+CM has the best learning accuracy and Adam+CM the second best",
        ("learning_accuracy",),
        "higher",
        ((_SAM_CM,), (_CM,), (_ADAM, _SAM, _CG)),
    ),
    Claim(
        ("table", 5),
        "a larger buffer makes Adam+CM end deeper and flatter",
        ("loss_final", "sharpness"),
        "lower",
        ((_CM_20,), (Of("adam_cm", {"capacity": 5}),)),
    ),
    Claim(
        ("table", 5),
        "Adam+CM ends deeper and flatter than Adam+CG, whatever the buffer",
        ("loss_final", "sharpness"),
        "lower",
        ((_CM,), (_CG,)),
    ),
    Claim(
        ("figure", 1),
        "Adam+CM reaches the global minimum more often than the others",
        ("reached_global",),
        "higher",
        ((_CM,), (_ADAM, _SAM, _CG)),
    ),
    *(
        Claim(
            ("figure", figure),
            "gradients in the buffer cancel in Adam+CG more than momenta do in Adam+CM",
            ("cancellation",),
            "higher",
            ((_CG,), (_CM,)),
        )
        for figure in (2, 11, 12)
    ),
    *(
        Claim(
            ("figure", figure),
            "both variants with critical momenta end at a lower loss than the others",
            ("loss_final",),
            "lower",
            ((_CM, _SAM_CM), (_ADAM, _SAM, _CG)),
        )
        for figure in (4, 16)
    ),
    Claim(
        ("figure", 13),
        "Adam+CM ends at a lower loss than the others",
        ("loss_final",),
        "lower",
        ((_CM,), (_ADAM, _SAM, _CG)),
    ),
    Claim(
        ("figure", 14),
        "Adam+CM reaches the global minimum more often than the others",
        ("reached_global",),
        "higher",
        ((_CM,), (_ADAM, _SAM, _CG)),
    ),
    Claim(
        ("figure", 15),
        "Adam+CM explores more (has longer paths) than Adam, Adam+SAM and Adam+MEG",
        ("path_length",),
        "higher",
        ((_CM,), (_ADAM, _SAM, _MEG)),
    ),
    *_escapes(5, "Adam+CM escapes more often than Adam+CG, and that more often than Adam", ((_CM,), (_CG,), (_ADAM,)),
              (5, 10, 100), pooled=True),
    *_escapes(6, "Adam+CM with C = 20 escapes more often than all others from s = 20 on",
              ((_CM_20,), (_ADAM, _SAM, _CG, Of("adam_cm", {"capacity": 5}))), (20, 50, 100)),
    *_escapes(7, "Adam+CM escapes more often than all others from s = 5 on", ((_CM,), (_ADAM, _SAM, _CG)),
              _ALL_S[1:], column="left"),
    *_escapes(7, "Adam+CG is outperformed by Adam and Adam+SAM at s = 50 and 100", ((_ADAM, _SAM), (_CG,)),
              (50, 100), column="left"),
    *_escapes(7, "the larger C, the more often Adam+CM escapes", _BY_CAPACITY, _ALL_S, column="right", ties=True),
    *_escapes(17, "Adam+CM escapes more often than Adam+CG", ((_CM,), (_CG,)), (5, 10, 100), pooled=True),
    *_escapes(18, "Adam+CM escapes more often than Adam+CG", ((_CM,), (_CG,)), (5, 10, 100), pooled=True),
)  # fmt: skip


def judged(group: Grouping, table: Table, surface: str | None = None) -> Table:
    """`table` with what the paper claims about it below, where its settings and rows are the suite's own.

    A row of which seeds diverged or failed is not judged: its mean is over the others.
    """
    paper = group.reference.settings.paper if group.reference else None
    if paper is None or any("suite" in entry for entry in table.differs.values()):
        return table
    own = {(s.optimizer.label, key_of(s.optimizer.hyperparameters)) for s in group.reference_plan}
    rows = tuple(
        row
        for row in table.rows
        if (row.label, key_of(row.hyperparameters)) in own
        and not (row.runs and row.runs.unit == "seeds" and (row.runs.diverged or row.runs.failed))
    )
    return replace(table, footnotes=(*table.footnotes, *judge(replace(table, rows=rows), paper, surface)))


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
    keys = [column.key for column in table.columns]
    if not all(key in keys for key in claim.columns):
        return None
    if not all(of.rows(table.rows) for group in claim.order for of in group):
        return None
    places = [keys.index(key) for key in claim.columns]
    groups = [[row for of in group for row in of.rows(table.rows)] for group in claim.order]
    if any(row.cells[i].value is None and not row.cells[i].missed for group in groups for row in group for i in places):
        return None
    if claim.pooled:
        means = [(_name(group), _mean([row.cells[i].value for row in group for i in places])) for group in groups]
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
