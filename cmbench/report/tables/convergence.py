"""The table of convergence rates: a row per condition number, a column per capacity and momentum."""

from __future__ import annotations

from collections.abc import Sequence

from cmbench.experiments.quadratic import heavy_ball
from cmbench.report.columns.convergence import HEAVY_BALL, rate_of, rates_of, title_of
from cmbench.report.runs.groups import Group
from cmbench.report.runs.run import Run, completed
from cmbench.report.table import Row, Table
from cmbench.report.tables.fill import make_table


def convergence_tables(group: Group) -> list[Table]:
    """One table, with the known optimum of classical momentum beside."""
    settings = group.shared_settings
    in_plan = [run for run in group.runs if group.suite.has_plan and run.planned]
    others = [run for run in group.runs if not (group.suite.has_plan and run.planned)]
    others.sort(key=lambda run: (run.settings["capacity"], run.settings["beta"] or -1))
    runs = [*in_plan, *others]
    columns = [*map(rate_of, runs), HEAVY_BALL]
    numbers = [float(number) for number in settings["condition_numbers"]]
    rows = [Row(f"κ={kappa:,.10g}", tuple(column.read(kappa) for column in columns)) for kappa in numbers]
    notes = [
        "rate ρ on a quadratic of condition number κ: the factor by which a step shrinks the error in the long run",
        "C: entries of the memory, 0 for classical momentum; heavy ball, known optimum: (√κ−1)/(√κ+1) (Polyak 1964)",
        *_accuracy(runs),
        *_comparison(runs),
        *(f"{group.suite.name}: {run.result.error}" for run in group.runs
          if run.result and run.status == "failed" and run.result.error),
    ]  # fmt: skip
    text = "asymptotic convergence rate, by memory capacity C and momentum β; α is optimised everywhere"
    return [make_table(group, "convergence", text, columns, rows, notes, lead=len(columns), settings=settings)]


def _accuracy(runs: Sequence[Run]) -> list[str]:
    """How the computed rates agree with simulated runs and with the known optimum."""
    notes = []
    if (largest := _largest(runs, "grid_error")) is not None:
        notes.append(f"ρ holds for every curvature; the eigenvalues at 600 of them agree within {largest:.0e}")
    if (largest := _largest(runs, "simulation_error")) is not None:
        notes.append(f"the fitted decay of simulated SGD+CM runs (FIFO buffer) is within {largest:.2%} of ρ everywhere")
    for run in runs:
        rates = rates_of(run)
        if run.settings["capacity"] == 0 and run.settings["beta"] is None and rates:
            gap = max(abs(rate - heavy_ball(kappa)) for kappa, rate in rates.items())
            notes.append(f"classical momentum with α and β optimised is within {gap:.1e} of the known optimum")
    return notes


def _largest(runs: Sequence[Run], metric: str) -> float | None:
    values = [result.metrics.get(metric) for result in completed(runs)]
    return max((value for value in values if value is not None), default=None)


def _comparison(runs: Sequence[Run]) -> list[str]:
    """Whether critical momenta converge, as the paper says, and where they are faster than classical momentum."""
    notes = []
    with_memory = [run for run in runs if run.settings["capacity"] and rates_of(run)]
    if with_memory:
        slow = any(rate >= 1 for run in with_memory for rate in rates_of(run).values())
        verdict = "This does NOT come out" if slow else "This comes out: ρ < 1 everywhere"
        notes.append(f"Figure 3 of the paper: critical momenta converge for a wide range of κ. {verdict}.")
        notes.append("The paper says no more: that they converge faster than classical momentum is not claimed.")
    classical = {run.settings["beta"]: rates_of(run) for run in runs if not run.settings["capacity"]}
    for run in with_memory:
        rates, other = rates_of(run), classical.get(run.settings["beta"], {})
        common = [kappa for kappa in rates if kappa in other]
        if common:
            faster = sum(rates[kappa] < other[kappa] - 1e-6 for kappa in common)
            where = f"at {faster} of {len(common)} condition numbers"
            notes.append(f"{title_of(run)} is faster than classical momentum {where}")
    return notes
