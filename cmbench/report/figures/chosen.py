"""The start that a figure draws because it shows what the paper says, and how many of all starts look like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cmbench.experiments.result import Result
from cmbench.optim.memories import MEMORIES
from cmbench.optim.registry import REGISTRY
from cmbench.report.captions import optimizer_text
from cmbench.report.figures.drawing import optimizer_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTERS = "ABCDEFGH"


def given_starts(result: Result) -> int:
    """How many of its starts are given; they come first."""
    return len(result.settings.get("start_points") or ())


def name_of(result: Result, lane: int) -> str:
    """`given start A` for the first given start, `start 2` for the second one if it is drawn."""
    return f"given start {LETTERS[lane % len(LETTERS)]}" if lane < given_starts(result) else f"start {lane + 1}"


def label_start(axes: Axes, result: Result, lane: int, point: Sequence[float]) -> None:
    """Writes the letter of a given start beside it."""
    if lane < given_starts(result):
        axes.annotate(
            LETTERS[lane % len(LETTERS)], (point[0], point[1]), xytext=(-7, -4), textcoords="offset points", ha="right",
            fontsize=10, fontweight="bold", zorder=7,
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        )  # fmt: skip


def shares(results: Sequence[Result], quantity: str) -> str:
    """From how many starts the runs look as from the first given one, and from how many the other way round.

    `reached_global`: an optimizer with critical momenta ends at the global minimum, and none without them does.
    `cancellation`: less cancels with critical momenta than without. Those with a probe beside the momenta are not
    looked at. "" where there is no given start, or nothing to compare.
    """
    by_memory = [(REGISTRY.get(optimizer_of(result).name), result) for result in results if quantity in result.lanes]
    own = [result for info, result in by_memory if info and info.memory is MEMORIES["cm"] and not info.probe]
    others = [result for info, result in by_memory if not (info and info.memory is MEMORIES["cm"])]
    if not own or not others or not given_starts(own[0]):
        return ""
    with_momenta, without = (np.array([r.lanes[quantity] for r in group], dtype=float) for group in (own, others))
    names, other_names = (_either(group) for group in (own, others))
    if quantity == "cancellation":
        so, reverse = with_momenta.max(0) < without.min(0), with_momenta.min(0) > without.max(0)
        what = f"more cancels in {other_names} than in {names}"
    else:
        so, reverse = with_momenta.max(0) > without.max(0), with_momenta.max(0) < without.max(0)
        what = f"{names} ends at the global minimum and not {other_names}"
    among = "A is one of them" if so[0] else "A is none of them"
    return f"From {so.sum()} of {len(so)} starts {what} ({among}); from {reverse.sum()} it is the other way round."


def _either(results: Sequence[Result]) -> str:
    """`Adam, Adam+SAM or Adam+CG`."""
    *first, last = (optimizer_text(optimizer_of(result)) for result in results)
    return f"{', '.join(first)} or {last}" if first else last
