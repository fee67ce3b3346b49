"""A figure of a surface by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cmbench.report.figures.drawing import View, contours, legend, mark_minimum, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def surface_map(view: View, low: Sequence[float], high: Sequence[float], name: str) -> Figure:
    """The surface between two corners: a line where it has one coordinate, contours of the first two where it has more.

    The coordinates beyond the second are those of the global minimum, or 0 where none is known.
    """
    figure, ((axes,),) = new_figure(1, 1, 6.4, 5)
    dim = len(low)
    if dim == 1:
        x = np.linspace(low[0], high[0], 1001)
        axes.plot(x, view.function(x[:, None]), color="#0072B2")
        axes.set_xlabel("$x$")
        axes.set_ylabel("$f(x)$")
        axes.grid(alpha=0.3)
        if view.minimum is not None:
            height = float(view.function(np.array(view.minimum)))
            axes.plot(view.minimum[0], height, "D", color="black", markersize=8, label="global minimum")
            axes.legend(frameon=False)
    else:
        rest = np.array((view.minimum or (0.0,) * dim)[2:])
        flat = View(lambda x: view.function(np.concatenate([x, np.broadcast_to(rest, (*x.shape[:-1], len(rest)))], -1)))
        filled = contours(axes, flat, np.array(low[:2]), np.array(high[:2]))
        figure.colorbar(filled, ax=axes, label="f", format="%.3g")
        if handles := mark_minimum(axes, view):
            legend(figure, handles)
    more = f" in {dim} dimensions" if dim > 2 else ""
    axes.set_title(f"{name}{more}", fontsize=11)
    return figure
