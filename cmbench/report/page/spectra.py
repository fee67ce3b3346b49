"""Spectral densities of the Hessian, ready to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cmbench.experiments.result import Result
from cmbench.report.captions import optimizer_text
from cmbench.report.figures.drawing import optimizer_of, styles_of
from cmbench.report.page.line import line_of
from cmbench.report.page.numbers import shorts, thinned

_MOST_POINTS, _MOST_LINES = 300, 24


def spectra(measured: Sequence[Result]) -> dict[str, Any] | None:
    """What the page draws of sharpness measurements that hold `curves.spectrum`; None where none does.

    A line per measurement: `eigenvalues`, and `density` there.
    """
    found = [(result, spectrum) for result in measured if (spectrum := spectrum_of(result))][:_MOST_LINES]
    if not found:
        return None
    looks = styles_of([optimizer_of(result) for result, _ in found])
    lines = []
    for result, (eigenvalues, density) in found:
        optimizer = optimizer_of(result)
        kept = thinned(len(eigenvalues), _MOST_POINTS)
        line = line_of(f"{optimizer_text(optimizer)}, seed {result.seed}", looks[optimizer.label])
        lines.append(line | {"eigenvalues": shorts(eigenvalues[kept]), "density": shorts(density[kept])})
    return {"kind": "spectra", "title": "Spectrum of the Hessian", "lines": lines}


def spectrum_of(result: Result) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """The eigenvalues of a measurement and the density there, in their order; None where it has none."""
    spectrum: Any = result.curves.get("spectrum")
    if not isinstance(spectrum, dict) or not spectrum.get("eigenvalues"):
        return None
    eigenvalues, density = (np.array(spectrum[key], dtype=float) for key in ("eigenvalues", "density"))
    order = np.argsort(eigenvalues)
    return eigenvalues[order], density[order]
