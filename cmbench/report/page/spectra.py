"""Spectral densities of the Hessian, ready to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cmbench.experiments.result import Result
from cmbench.report.captions import optimizer_text
from cmbench.report.figures.drawing import optimizer_of, styles_of
from cmbench.report.page.line import line_of
from cmbench.report.page.numbers import shorts, thinned
from cmbench.report.spectra import density, has_spectrum

_MOST_POINTS, _MOST_LINES = 500, 24


def spectra(measured: Sequence[Result]) -> dict[str, Any] | None:
    """What the page draws of measured spectra; None where there is none.

    A line per measurement: `eigenvalues`, and `density` there.
    """
    found = sorted((result for result in measured if has_spectrum(result)), key=_by_label_and_seed)[:_MOST_LINES]
    if not found:
        return None
    looks = styles_of([optimizer_of(result) for result in found])
    lines = []
    for result in found:
        optimizer, (eigenvalues, shares) = optimizer_of(result), density(result)
        kept = thinned(len(eigenvalues), _MOST_POINTS)
        line = line_of(f"{optimizer_text(optimizer)}, seed {result.seed}", looks[optimizer.label])
        lines.append(line | {"eigenvalues": shorts(eigenvalues[kept]), "density": shorts(shares[kept])})
    return {"kind": "spectra", "title": "Spectrum of the Hessian", "lines": lines}


def _by_label_and_seed(result: Result) -> tuple[str, int]:
    return result.label, result.seed
