"""Questions of our own, none of the paper's, which are judged as its claims are."""

from __future__ import annotations

from typing import Any

from cmbench.experiments.measurements import SharpnessMetric
from cmbench.report.columns.sharpness import QUANTITIES
from cmbench.report.paper.claims.record import Claim, Measured, Of, Place

_PRIORITIES = Place("question", 0, "priorities")
_OTHERS = (
    ("momentum", "ranked by their own norm", {"priority": "momentum"}),
    ("fifo", "of which always the oldest goes", {"priority": "fifo"}),
    ("random", "ranked by chance", {"priority": "random"}),
)


def _priorities(
    task: str, where: str, what: str, metric: str, capacity: int, suite: str = "", **options: Any
) -> tuple[Claim, ...]:
    """Adam+CM with the paper's ranking beside each other one, and beside a buffer of one entry."""
    paper = Of("adam_cm", {"priority": "gradient", "capacity": capacity})
    others = [(name, f"entries {words}", values | {"capacity": capacity}) for name, words, values in _OTHERS]
    others.append(("single", "a single entry", {"capacity": 1}))
    return tuple(
        Claim(
            f"{task}-{name}", _PRIORITIES, f"{where}, has Adam+CM with entries ranked by the gradient's norm another "
            f"{what} than with {words}?", f"priorities_{suite or task}", metric, "differs",
            ((paper,), (Of("adam_cm", values),)), **options,
        )
        for name, words, values in others
    )  # fmt: skip


_FLATNESS = Place("question", 0, "flatness")
_MEASURES: tuple[tuple[SharpnessMetric, str], ...] = (
    ("top-eigenvalue", "a lower top eigenvalue"),
    ("m-sharpness", "a lower m-sharpness"),
    ("adaptive-sharpness", "a lower adaptive sharpness"),
)
_RATES = (
    ("equal", "_equal_rate", "with one learning rate for all"),
    ("best", "", "each optimizer at its best"),
)
_WHERE = (("last", "ends at"), ("best", "is at its best epoch at"))


def _flatness(task: str) -> tuple[Claim, ...]:
    """Adam+CM beside the optimizers that the paper's Figures 8 and 19 compare it with."""
    return tuple(
        Claim(
            f"{task}-{rate}-{metric}-{at}", _FLATNESS, f"on {task}, {words}, Adam+CM {ends} {lower} than Adam, "
            "Adam+SAM and Adam+CG", f"{task}{suffix}", QUANTITIES[metric].key, "lower",
            ((Of("adam_cm"),), (Of("adam"), Of("adam_sam"), Of("adam_cg"))),
            measured=Measured(f"flatness_{task}", metric, at),
        )
        for rate, suffix, words in _RATES
        for metric, lower in _MEASURES
        for at, ends in _WHERE
    )  # fmt: skip


QUESTIONS: tuple[Claim, ...] = (
    *_priorities("levy", "on Levy", "loss", "loss_final", 20, relative_margin=0.02),
    *_priorities("escape", "in ten dimensions and over all s", "share of starts that reach the flat minimum",
                 "escaped_reached", 20, coefficients=(2, 5, 10, 20, 50, 100), pooled=True, margin=0.05),
    *_priorities("leaving", "in ten dimensions and over all s", "share of starts that leave the sharp minimum",
                 "escaped_all", 20, "escape", coefficients=(2, 5, 10, 20, 50, 100), pooled=True, margin=0.05),
    *_priorities("digits", "on digits", "accuracy", "val_accuracy_best", 5, margin=0.5),
    *_priorities("pydoc", "on pydoc", "perplexity", "val_perplexity_best", 5, relative_margin=0.02),
    *(claim for task in ("digits", "pydoc", "fashion_mnist") for claim in _flatness(task)),
)  # fmt: skip
"""Does it matter which entries stay? The margins are those of the paper's claims of equality, 2 % of a loss or
perplexity and half a point of accuracy; of a share, 5 points. And does Adam+CM land flatter, as the paper finds on
CIFAR, on tasks that anyone can run?
"""
