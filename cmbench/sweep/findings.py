"""What a sweep has found: counts, the best setting, expected best of k, importance, settings at an edge."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import TYPE_CHECKING

from cmbench.experiments.sweep.axes import Axis, Choice, Range
from cmbench.experiments.sweep.space import Arm, Sweep
from cmbench.sweep.trials import Direction, Rules, State, Trial, Trials

if TYPE_CHECKING:
    from optuna import Study

ENOUGH = 10
"""Completed trials below which importances are not worth a number."""
_EDGE = 0.05
"""The share of a range at either end that counts as its edge."""


@dataclass(frozen=True)
class Edge:
    """A hyperparameter or setting whose best value is at an end of its range."""

    name: str
    end: str
    """`lower` or `upper`."""


@dataclass(frozen=True)
class ArmFindings:
    """What was found for one optimizer. Of `importances` there are none where there are too few trials.

    `best_of` holds the expected best of 1, 2, … trials.
    """

    arm: Arm
    trials: tuple[Trial, ...]
    best: Trial | None
    best_of: tuple[float, ...]
    importances: dict[str, float] | None
    edges: tuple[Edge, ...]

    @property
    def over(self) -> int:
        """How many trials the optimizer got."""
        return sum(trial.over for trial in self.trials)

    def count(self, state: State) -> int:
        """How many trials are in that state."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def spread(self) -> float | None:
        """The sample standard deviation of the best trial's seeds."""
        return stdev(self.best.values) if self.best and len(self.best.values) > 1 else None


@dataclass(frozen=True)
class Findings:
    """What a sweep has found, with the metric that it went by, as in `val_METRIC_best`."""

    sweep: Sweep
    rules: Rules
    metric: str
    direction: Direction
    arms: tuple[ArmFindings, ...]

    @property
    def equal(self) -> bool:
        """Whether every optimizer got as many trials as the others."""
        return len({found.over for found in self.arms}) < 2

    @property
    def lost(self) -> bool:
        """Whether a trial diverged or failed."""
        return any(found.count("diverged") + found.count("failed") for found in self.arms)


def findings(sweep: Sweep, rules: Rules, metric: str, studies: Sequence[Trials]) -> Findings:
    """Reads what the studies of a sweep's arms hold."""
    direction = studies[0].direction
    every = [each.all() for each in studies]
    known = [trial.value for trials in every for trial in trials if trial.value is not None]
    worst = (min if direction == "higher" else max)(known) if known else None
    arms = []
    for each, trials in zip(studies, every, strict=True):
        best = _best(trials, direction)
        values = [worst if trial.value is None else trial.value for trial in trials if trial.over]
        curve = best_of([value for value in values if value is not None], direction)
        edges = _edges(each.arm, best) if best else ()
        arms.append(ArmFindings(each.arm, tuple(trials), best, curve, _importances(each.study(), trials), edges))
    return Findings(sweep, rules, metric, direction, tuple(arms))


def _best(trials: Sequence[Trial], direction: Direction) -> Trial | None:
    """The best of those that completed; ties go to the earlier one."""
    completed = [trial for trial in trials if trial.state == "completed" and trial.value is not None]
    return (max if direction == "higher" else min)(completed, key=lambda trial: trial.value or 0.0, default=None)


def best_of(values: Sequence[float], direction: Direction) -> tuple[float, ...]:
    """The expected best of k = 1, …, n of n values, drawn without replacement: exact.

    E[best of k] = Σᵢ v₍ᵢ₎ · C(i − 1, k − 1) / C(n, k) over the values in order, the best one last: of the C(n, k) sets
    of k, v₍ᵢ₎ is the best of those whose other members are among the i − 1 before it. Dodge et al. 2019 ("Show Your
    Work") draw with replacement, which is biased against large k (Tang et al. 2020).

    For trials that were drawn at random it is what a search of k of them would have found. Where a sampler learns from
    earlier trials, later ones are better, and it says what these trials would have given in a random order.
    """
    ordered, n = sorted(values, reverse=direction == "lower"), len(values)
    return tuple(
        math.fsum(value * math.comb(i, k - 1) / math.comb(n, k) for i, value in enumerate(ordered))
        for k in range(1, n + 1)
    )


def _importances(study: Study, trials: Sequence[Trial]) -> dict[str, float] | None:
    """The share of the objective's variance that each axis explains, by fANOVA (Hutter et al. 2014)."""
    import optuna

    if sum(trial.state == "completed" for trial in trials) < ENOUGH:
        return None
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    except (RuntimeError, ValueError):  # all trials are equally good, or nothing varies
        return None


def _edges(arm: Arm, best: Trial) -> tuple[Edge, ...]:
    found = ((name, _edge(axis, best.setting[name])) for name, axis in arm.space.axes.items())
    return tuple(Edge(name, end) for name, end in found if end)


def _edge(axis: Axis, value: float) -> str | None:
    """The end of an ordered axis that `value` is at: it exactly in a list, within a twentieth of the way in a range."""
    if axis.ends is None:
        return None
    low, high = axis.ends
    if isinstance(axis, Choice) or axis.step:
        return "lower" if value == low else "upper" if value == high else None
    share = _share(axis, value)
    return "lower" if share <= _EDGE else "upper" if share >= 1 - _EDGE else None


def _share(axis: Range, value: float) -> float:
    scale = math.log if axis.log else float
    return (scale(value) - scale(axis.low)) / (scale(axis.high) - scale(axis.low))
