"""Questions of our own, none of the paper's, which are judged as its claims are."""

from __future__ import annotations

from typing import Any

from cmbench.report.paper.claims.record import Claim, Of, Place

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


QUESTIONS: tuple[Claim, ...] = (
    *_priorities("levy", "on Levy", "loss", "loss_final", 20, relative_margin=0.02),
    *_priorities("escape", "in ten dimensions and over all s", "share of starts that reach the flat minimum",
                 "escaped_reached", 20, coefficients=(2, 5, 10, 20, 50, 100), pooled=True, margin=0.05),
    *_priorities("leaving", "in ten dimensions and over all s", "share of starts that leave the sharp minimum",
                 "escaped_all", 20, "escape", coefficients=(2, 5, 10, 20, 50, 100), pooled=True, margin=0.05),
    *_priorities("digits", "on digits", "accuracy", "val_accuracy_best", 5, margin=0.5),
    *_priorities("pydoc", "on pydoc", "perplexity", "val_perplexity_best", 5, relative_margin=0.02),
)  # fmt: skip
"""Does it matter which entries stay? The margins are those of the paper's claims of equality, 2 % of a loss or
perplexity and half a point of accuracy; of a share, 5 points.
"""
