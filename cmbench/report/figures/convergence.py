"""Figure 3: convergence rates of classical and critical momenta on quadratics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cmbench.experiments.result import Result
from cmbench.report.figures.drawing import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def convergence_rates(results: Sequence[Result]) -> tuple[Figure, str]:
    """1 − ρ* against κ: a colour per capacity, solid where β was optimised, dashed where it is fixed (Figure 3)."""
    figure, ((axes,),) = new_figure(1, 1, 7, 4.6)
    capacities = list(dict.fromkeys(result.settings["capacity"] for result in results))
    for result in results:
        capacity, beta = result.settings["capacity"], result.settings["beta"]
        name = "classical momentum" if capacity == 0 else f"critical momenta, C={capacity}"
        kappa, rate, simulated = (
            np.array(result.curves[key], dtype=float) for key in ("condition_number", "rate", "rate_simulated")
        )
        colour = _COLOURS[capacities.index(capacity) % len(_COLOURS)]
        label = f"{name}, " + ("α and β optimised" if beta is None else f"α optimised, β={beta:g}")
        axes.loglog(kappa, 1 - rate, "-" if beta is None else "--", color=colour, label=label)
        marker = "os^Dv"[capacities.index(capacity) % 5]
        axes.plot(
            kappa, 1 - simulated, marker, color=colour, markersize=5,
            markerfacecolor=colour if beta is None else "white",
        )  # fmt: skip
    axes.plot([], [], "o", color="0.4", markersize=5, label="decay of simulated runs")
    axes.set_xlabel("condition number κ")
    axes.set_ylabel("convergence rate 1 − ρ* (per step)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    return figure, "Higher is faster. ρ* is the factor by which the best step shrinks the error in the long run."
