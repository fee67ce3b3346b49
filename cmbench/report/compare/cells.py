"""What has become of every suite, optimizer and metric from one side to the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cmbench.errors import UserError, suggest
from cmbench.experiments.kinds import LANDSCAPES
from cmbench.experiments.text import canonical, value_text
from cmbench.report.compare.sides import METRICS, Group, Side
from cmbench.report.comparison import (
    FEWEST,
    LEVEL,
    Comparison,
    compare,
    compare_independent,
    holm,
    smallest_visible,
)
from cmbench.report.runs.same_settings import flat
from cmbench.report.table import Direction

Change = Literal["regressed", "improved", "unchanged", "identical", "incomplete"]
CHANGES: tuple[Change, ...] = ("regressed", "incomplete", "improved", "unchanged", "identical")
"""In the order in which a reader wants to know."""
Value = float | bool


@dataclass(frozen=True)
class Ratio:
    """How many times as long the new runs take, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CellChange:
    """One metric of one optimizer in one suite: the means of both sides, their difference, what follows from it.

    `comparison` is new − base, by pairs of equal seeds and starts, or (`paired` false) of different ones. `p` is that
    of a change beyond `tolerance`, `p_holm` after Holm's correction over all cells. `visible` is the smallest change
    that so many pairs would have found with 80 % power. `notes` say what else a reader must know.
    """

    suite: str
    label: str
    cell: str
    metric: str
    better: Direction
    change: Change
    base: float | None = None
    new: float | None = None
    comparison: Comparison | None = None
    paired: bool = True
    tolerance: float = 0.0
    p: float | None = None
    p_holm: float | None = None
    visible: float | None = None
    time: Ratio | None = None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """`digits adam_cm`, `escape_1d adam_cm sharp_flat sharpness=5`."""
        return " ".join(part for part in (self.suite, self.label, self.cell) if part)


def changes(base: Side, new: Side, tolerances: Mapping[str, float] | None = None) -> list[CellChange]:
    """The cells of both sides in the order of `base`, those that only `new` has left out.

    A change is an interval wholly beyond the metric's tolerance (a name of `tolerances`, or the beginning of one;
    default 0), with Holm's correction over the cells. A run that completed in `base` and diverges or fails in `new` is
    a regression by itself. Raises `UserError` for a tolerance of no metric.
    """
    tolerances = dict(tolerances or {})
    _check(tolerances, [*METRICS.values(), *(group.own_metrics for group in base.groups)])
    there = {group.key: group for group in new.groups}
    cells = []
    for group in base.groups:
        for metric, better in group.metrics.items():
            if any(metric in run.values for run in group.runs):
                tolerance = next((t for name, t in tolerances.items() if metric.startswith(name)), 0.0)
                cells.append(_cell(group, there.get(group.key), metric, better, tolerance))
    tested = [cell.p for cell in cells if cell.p is not None]
    adjusted = iter(holm(tested))
    return [_decided(replace(cell, p_holm=next(adjusted))) if cell.p is not None else cell for cell in cells]


def _check(tolerances: Mapping[str, float], all_metrics: Iterable[Mapping[str, Direction]]) -> None:
    known = list(dict.fromkeys(metric for metrics in all_metrics for metric in metrics))
    for name, tolerance in tolerances.items():
        if not any(metric.startswith(name) for metric in known):
            hint = suggest(name, known)
            raise UserError(f"--tolerance {name}: no such metric: {hint}accepted: {', '.join(known)}")
        if not tolerance >= 0:
            raise UserError(f"--tolerance {name}={tolerance:g}: accepted: a number from 0 on")


def _cell(base: Group, new: Group | None, metric: str, better: Direction, tolerance: float) -> CellChange:
    blank = CellChange(base.suite, base.label, base.cell, metric, better, "incomplete", tolerance=tolerance)
    old = _values(base, metric)
    blank = replace(blank, base=_mean(old.values()))
    if new is None:
        return replace(blank, notes=("no runs",))
    now, notes = _values(new, metric), _differences(base, new)
    blank = replace(blank, new=_mean(now.values()), time=_time(base, new), notes=notes)
    if lost := _lost(base, new, metric):
        return replace(blank, change="regressed", notes=(*lost, *notes))
    common = sorted(old.keys() & now.keys())
    if common and _same(base, new, metric) and all(old[k] == now[k] for k in common) and len(common) == len(old):
        return replace(blank, change="identical")
    if not old or not now:
        return replace(blank, notes=("no values", *notes))
    if base.kind == "convergence":
        return _exact(blank, [float(now[k]) - float(old[k]) for k in common])
    paired = bool(common)
    if paired:
        comparison = compare([now[k] for k in common], [old[k] for k in common])
        if missing := len(old.keys() - now.keys()):
            notes = (f"{missing} of {len(old)} {_unit(base)} missing", *notes)
    else:
        comparison = compare_independent(list(now.values()), list(old.values()))
    found = replace(blank, comparison=comparison, paired=paired, notes=notes,
                    visible=smallest_visible(comparison.deviation, comparison.n))  # fmt: skip
    if paired and missing:
        return found
    if comparison.p is None:
        if comparison.n >= FEWEST and comparison.effect == 0:
            return replace(found, change="unchanged")
        few = comparison.n < FEWEST
        why = f"fewer than {FEWEST} {_unit(base)}" if few else "every difference is the same: no interval"
        return replace(found, notes=(why, *notes))
    return replace(found, p=_p(comparison, tolerance))


def _p(comparison: Comparison, tolerance: float) -> float | None:
    """Two-sided, of a change beyond the tolerance in either direction."""
    if tolerance == 0:
        return comparison.p
    beyond = comparison.p_beyond(tolerance) if comparison.effect > 0 else comparison.p_beyond(-tolerance)
    if beyond is None:
        return None
    return min(1.0, 2 * (beyond if comparison.effect > 0 else 1 - beyond))


def _decided(cell: CellChange) -> CellChange:
    comparison = cell.comparison
    if comparison is None or cell.p_holm is None or cell.p_holm > LEVEL:
        return replace(cell, change="unchanged")
    up = comparison.effect > 0
    return replace(cell, change="improved" if up == (cell.better == "higher") else "regressed")


def _exact(blank: CellChange, differences: Sequence[float]) -> CellChange:
    """Computed, not sampled: a rate that is larger by more than the tolerance, or 1e-6, is worse."""
    bound = max(blank.tolerance, 1e-6)
    worst, best = max(differences, default=0.0), min(differences, default=0.0)
    change: Change = "regressed" if worst > bound else "improved" if best < -bound else "unchanged"
    return replace(blank, change=change)


def _values(group: Group, metric: str) -> dict[tuple[int, int], Value]:
    """By seed and number of the start (0 in training): what completed runs have, and diverged runs of finite starts."""
    return {
        (run.seed, i): value
        for run in group.runs
        if run.status == "completed" or (run.status == "diverged" and len(run.values.get(metric, ())) > 1)
        for i, value in enumerate(run.values.get(metric, ()))
        if value is not None
    }


def _same(base: Group, new: Group, metric: str) -> bool:
    ids = {run.seed: run.id for run in new.runs}
    return all(ids.get(run.seed) == run.id for run in base.runs if metric in run.values)


def _lost(base: Group, new: Group, metric: str) -> tuple[str, ...]:
    """What ended well in `base` and does not now: seeds, or starts, that diverge or fail.

    Of other seeds or starts only more than chance explains.
    """
    old, now = _ends_well(base, metric), _ends_well(new, metric)
    lost = [unit for unit in old.keys() & now.keys() if old[unit] and not now[unit]]
    if old.keys().isdisjoint(now.keys()) and old and now:
        comparison = compare_independent(list(now.values()), list(old.values()))
        if comparison.effect < 0 and (comparison.p or 0.0) <= LEVEL:
            lost = [unit for unit, well in now.items() if not well]
    return (f"{len(lost)} of {len(now)} {_unit(base)} diverge or fail now",) if lost else ()


def _ends_well(group: Group, metric: str) -> dict[tuple[int, int], bool]:
    """Whether each seed or start has ended with a value; runs that were interrupted have not ended."""
    found: dict[tuple[int, int], bool] = {}
    for run in group.runs:
        values = run.values.get(metric, ())
        if run.status == "completed" or (run.status == "diverged" and len(values) > 1):
            found |= {(run.seed, i): value is not None for i, value in enumerate(values)}
        elif run.status in ("diverged", "failed"):
            found[run.seed, 0] = False
    return found


def _differences(base: Group, new: Group) -> tuple[str, ...]:
    """Settings and hyperparameters that differ between the sides, which a reader must know."""
    found = []
    for old, now in ((base.settings, new.settings), (base.hyperparameters, new.hyperparameters)):
        one, other = flat(old), flat(now)
        for name in dict.fromkeys([*one, *other]):
            before, after = one.get(name), other.get(name)
            if canonical(before) != canonical(after):
                found.append(f"{name} {value_text(before)} → {value_text(after)}")
    return tuple(found)


def _time(base: Group, new: Group) -> Ratio | None:
    """The ratio of wall times by seed, where both sides ran on the same kind of machine with the same torch."""
    known = bool(base.machine) and None not in base.machine.values()
    if not known or base.machine != new.machine or _differences(base, new):
        return None
    old, now = (
        {r.seed: math.log(r.wall_seconds) for r in group.runs if r.wall_seconds and r.status == "completed"}
        for group in (base, new)
    )
    common = sorted(old.keys() & now.keys())
    if len(common) < FEWEST:
        return None
    logs = compare([now[seed] for seed in common], [old[seed] for seed in common])
    if logs.interval is None:
        return None
    return Ratio(math.exp(logs.effect), *(math.exp(end) for end in logs.interval))


def _unit(group: Group) -> str:
    return "starts" if group.kind in LANDSCAPES else "seeds"


def _mean(values: Iterable[Value]) -> float | None:
    found = [float(value) for value in values]
    return math.fsum(found) / len(found) if found else None
