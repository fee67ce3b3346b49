"""The columns of convergence rates: one for each capacity and momentum, read at a condition number."""

from __future__ import annotations

from collections.abc import Mapping

from cmbench.experiments.quadratic import heavy_ball
from cmbench.experiments.settings import ConvergenceSettings
from cmbench.report.runs.run import Run
from cmbench.report.table import Cell, Column


def title_of(run: Run) -> str:
    """`C=5, β=0.9`, or `C=5, β optimised`."""
    names = ConvergenceSettings.model_fields
    return ConvergenceSettings.model_validate({n: value for n, value in run.settings.items() if n in names}).title


def rates_of(run: Run) -> dict[float, float]:
    """The rate of a run by condition number; empty where there is no result."""
    curves = run.result.curves if run.result else {}
    return dict(zip(map(float, curves.get("condition_number", ())), curves.get("rate", ()), strict=False))


def _rate(title: str, rates: Mapping[float, float], notes: tuple[str, ...] = ()) -> Column[float]:
    def read(kappa: float) -> Cell:
        return Cell(rates.get(kappa), None, int(kappa in rates), notes=notes)

    return Column(
        f"rate[{title}]",
        title,
        None,
        "rate",
        f"Rate ρ of a method with a memory of C entries and momentum β ({title}): the factor by which the best step "
        "shrinks the error in the long run; C=0 is classical momentum, below 1 it converges.",
        read,
    )


def rate_of(run: Run) -> Column[float]:
    """The rate of one run, one value per condition number."""
    return _rate(title_of(run), rates_of(run), () if run.status == "completed" else (run.status,))


HEAVY_BALL: Column[float] = Column(
    "heavy_ball",
    "heavy ball, known optimum",
    None,
    "rate",
    "The best rate ρ of classical momentum, in closed form: (√κ−1)/(√κ+1) (Polyak 1964).",
    lambda kappa: Cell(heavy_ball(kappa), None, 1),
)
COLUMNS = (_rate("C=CAPACITY, MOMENTUM", {}), HEAVY_BALL)
