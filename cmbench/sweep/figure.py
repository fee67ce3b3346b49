"""The figure of a sweep: the expected best of k trials, a line for each optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmbench.report.captions import optimizer_text
from cmbench.report.columns.metrics import best
from cmbench.report.figures.drawing import caption, legend, new_figure, styles_of
from cmbench.sweep.best import metric_of
from cmbench.sweep.findings import Findings
from cmbench.sweep.tables import reference

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_best_of(found: Findings) -> Figure:
    """Expected best of k trials against k, by which optimizers compare at the same budget, whichever it is."""
    figure, ((axes,),) = new_figure(1, 1, 6.4, 4.4)
    shown = [each for each in found.arms if each.best_of]
    look = styles_of([reference(each) for each in shown])
    handles = {}
    for each in shown:
        style = look[each.arm.label]
        (line,) = axes.plot(
            range(1, len(each.best_of) + 1), each.best_of, color=style.colour, linestyle=style.dashes,
            linewidth=1.5 * style.weight, marker=style.marker, markersize=5 * style.weight,
            markevery=max(1, len(each.best_of) // 8),
        )  # fmt: skip
        handles[optimizer_text(reference(each))] = line
    legend(figure, handles)
    axes.set_xlabel("trials k")
    axes.set_ylabel(f"expected {best(metric_of(found)).title} of the best")
    axes.grid(alpha=0.3)
    caption(figure, f"{found.sweep.suite.name}: expected best of k of an optimizer's trials, over all choices of k")
    return figure
