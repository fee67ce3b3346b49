"""The spectral density of Hessians at the weights of training runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cmbench.experiments.result import Result
from cmbench.report.figures.drawing import caption, legend, new_figure, optimizer_of, styles
from cmbench.report.spectra import density

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def spectra(results: Sequence[Result], trained: Sequence[Result] = ()) -> Figure:
    """log-density of the eigenvalues, a panel for every suite, a line for every run in its optimizer's colour."""
    suites = list(dict.fromkeys(result.suite.name for result in results))
    figure, panels = new_figure(len(suites), 1, 7.5, 4.2)
    looks, handles = styles(results), {}
    for suite, axes in zip(suites, panels[:, 0], strict=True):
        own = [result for result in results if result.suite.name == suite]
        lowest, highest = (f([f(result.curves["nodes"]) for result in own]) for f in (min, max))
        for result in own:
            label = optimizer_of(result).label
            at, shares = density(result, (highest - lowest or 1.0) / 200)
            look = looks[label]
            (handles[label],) = axes.semilogy(
                at, shares, color=look.colour, linestyle=look.dashes, linewidth=1.2 * look.weight, alpha=0.85
            )
        axes.set_xlabel("eigenvalue of the Hessian of the training loss")
        axes.set_ylabel("density (share of eigenvalues per unit)")
        axes.grid(alpha=0.25)
    legend(figure, handles)
    seeds = ", ".join(map(str, sorted({result.seed for result in results})))
    caption(
        figure,
        f"Spectral density at the weights of {', '.join(suites)}, one line per run, seeds {seeds}. By stochastic "
        "Lanczos quadrature; every Ritz value is drawn as a Gaussian of a 200th of the range.",
    )
    return figure
