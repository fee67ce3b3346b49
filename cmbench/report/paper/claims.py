"""What the paper says about the order of optimizers, as data; `report/judging.py` says whether it comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


class Place(NamedTuple):
    """A table or figure of the paper."""

    kind: Literal["table", "figure"]
    number: int


@dataclass(frozen=True)
class Of:
    """The rows of an optimizer, by its registry name, with these hyperparameters."""

    optimizer: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


Order = tuple[tuple[Of, ...], ...]


@dataclass(frozen=True)
class Claim:
    """An order of optimizers: every row of a group of `order` is better than every row of the next one.

    `metrics` are the keys of the columns it is about (under each of the sharpness coefficients `at_sharpness`, where
    there are any), `better` the direction; `surface` is one of several surfaces in that place, `column` one of several
    columns. `ties` are allowed where the paper says "at least"; `pooled` compares the means over columns and rows
    instead.
    """

    place: Place
    text: str
    metrics: tuple[str, ...]
    better: Literal["lower", "higher"]
    order: Order
    surface: str | None = None
    column: str | None = None
    at_sharpness: tuple[float, ...] = ()
    ties: bool = False
    pooled: bool = False


_ADAM, _SAM, _CG, _CM, _SAM_CM, _MEG = (
    Of(name) for name in ("adam", "adam_sam", "adam_cg", "adam_cm", "adam_sam_cm", "adam_meg")
)
_SGD, _SGD_CG, _SGD_CM = (Of(name) for name in ("sgd", "sgd_cg", "sgd_cm"))


def _escapes(figure: int, text: str, order: Order, coefficients: Sequence[float], **options: Any) -> list[Claim]:
    """A claim about escape ratios, by each criterion."""
    criteria = {"all": "by every coordinate", "nearer": "by nearer minimum"}
    return [
        Claim(
            Place("figure", figure),
            f"{text} ({title})",
            (f"escape_ratio_{criterion}",),
            "higher",
            order,
            at_sharpness=tuple(coefficients),
            **options,
        )
        for criterion, title in criteria.items()
    ]


def _deeper_and_flatter(surface: str) -> list[Claim]:
    order = ((_CM,), (_ADAM, _SAM, _CG))
    return [
        Claim(Place("table", 1), "Adam+CM ends at the lowest loss", ("loss_final",), "lower", order, surface),
        Claim(Place("table", 1), "Adam+CM ends at the lowest sharpness", ("sharpness",), "lower", order, surface),
    ]


def _best_of_training(column: str, text: str, order: Order) -> Claim:
    if column == "ptb":
        return Claim(Place("table", 2), text, ("val_perplexity_best",), "lower", order, column=column)
    return Claim(Place("table", 2), text, ("val_accuracy_best",), "higher", order, column=column)


_BY_CAPACITY = tuple((Of("adam_cm", {"capacity": capacity}),) for capacity in (20, 10, 5))
_CM_20 = Of("adam_cm", {"capacity": 20, "decay": 0.99})
_ALL_S = (2, 5, 10, 20, 50, 100)

CLAIMS: tuple[Claim, ...] = (
    *_deeper_and_flatter("goldstein_price"),
    Claim(
        Place("table", 1),
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
        Place("table", 3),
        "SGD+CG and SGD+CM are as good as SGD in fewer epochs",
        ("speed_up",),
        "higher",
        ((_SGD_CG, _SGD_CM), (_SGD,)),
    ),
    Claim(
        Place("table", 4),
        "Adam+SAM+CM has the best learning accuracy and Adam+CM the second best",
        ("learning_accuracy",),
        "higher",
        ((_SAM_CM,), (_CM,), (_ADAM, _SAM, _CG)),
    ),
    Claim(
        Place("table", 5),
        "a larger buffer makes Adam+CM end deeper and flatter",
        ("loss_final", "sharpness"),
        "lower",
        ((_CM_20,), (Of("adam_cm", {"capacity": 5}),)),
    ),
    Claim(
        Place("table", 5),
        "Adam+CM ends deeper and flatter than Adam+CG, whatever the buffer",
        ("loss_final", "sharpness"),
        "lower",
        ((_CM,), (_CG,)),
    ),
    Claim(
        Place("figure", 1),
        "Adam+CM reaches the global minimum more often than the others",
        ("reached_global",),
        "higher",
        ((_CM,), (_ADAM, _SAM, _CG)),
    ),
    *(
        Claim(
            Place("figure", figure),
            "gradients in the buffer cancel in Adam+CG more than momenta do in Adam+CM",
            ("cancellation",),
            "higher",
            ((_CG,), (_CM,)),
        )
        for figure in (2, 11, 12)
    ),
    *(
        Claim(
            Place("figure", figure),
            "both variants with critical momenta end at a lower loss than the others",
            ("loss_final",),
            "lower",
            ((_CM, _SAM_CM), (_ADAM, _SAM, _CG)),
        )
        for figure in (4, 16)
    ),
    Claim(
        Place("figure", 13),
        "Adam+CM ends at a lower loss than the others",
        ("loss_final",),
        "lower",
        ((_CM,), (_ADAM, _SAM, _CG)),
    ),
    Claim(
        Place("figure", 14),
        "Adam+CM reaches the global minimum more often than the others",
        ("reached_global",),
        "higher",
        ((_CM,), (_ADAM, _SAM, _CG)),
    ),
    Claim(
        Place("figure", 15),
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
