"""Which setting is tried next: on the grid, at random, or by TPE; never one that was tried before."""

from __future__ import annotations

import random
import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from cmbench.experiments.sweep.axes import Axis, Choice
from cmbench.experiments.sweep.space import Setting, Space
from cmbench.experiments.text import canonical

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

SamplerName = Literal["grid", "random", "tpe"]
STARTUP = 8
"""Trials of a Sobol sequence before TPE has something to go by."""
_ATTEMPTS = 50
"""Proposals that may be repeats before what is left is drawn from."""


def propose(
    space: Space,
    tried: Collection[str],
    study: Study,
    sampler: SamplerName,
    seed: int,
    whole: bool,
) -> Setting | None:
    """A setting that is not among the `tried`, which are canonical texts; None where the space is exhausted.

    It depends on `seed` and on the trials alone, so that a sweep that was stopped goes on as if it had not been.

    - `grid`: the settings in their order where the `whole` grid is tried, else in a random one
    - `random`: each axis evenly, by its logarithm where it has one
    - `tpe`: the points of a scrambled Sobol sequence, which cover the space more evenly than chance (Owen 1998), then
      the tree-structured Parzen estimator (Bergstra et al. 2011) over all axes together, which knows of pruned and
      running trials, too
    """
    if sampler == "grid":
        return _left(space, tried, None if whole else random.Random(seed))
    draw = random.Random(f"{seed} {len(tried)}")
    for attempt in range(_ATTEMPTS):
        if sampler == "random" or not space.axes:
            setting = space.at([draw.random() for _ in space.axes])
        elif len(tried) < STARTUP:
            setting = space.at(_sobol(len(space.axes), len(tried) + attempt, seed))
        else:
            setting = _by_tpe(space, study, draw.getrandbits(32))
        if canonical(setting) not in tried:
            return setting
    if space.size is not None:
        return _left(space, tried, draw)
    # A range without steps has values of three digits, which a narrow one runs out of, too.
    drawn = (space.at([draw.random() for _ in space.axes]) for _ in range(_ATTEMPTS * 100))
    return next((setting for setting in drawn if canonical(setting) not in tried), None)


def _left(space: Space, tried: Collection[str], draw: random.Random | None) -> Setting | None:
    """The first setting that is left, in the order of the grid, or in the one that `draw` shuffles it to."""
    settings = list(space.settings())
    if draw:
        draw.shuffle(settings)
    return next((setting for setting in settings if canonical(setting) not in tried), None)


def _sobol(axes: int, index: int, seed: int) -> list[float]:
    from scipy.stats.qmc import Sobol

    points = Sobol(axes, scramble=True, seed=seed).random_base2(index.bit_length())
    return [float(u) for u in points[index]]


def _by_tpe(space: Space, study: Study, seed: int) -> Setting:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # multivariate is experimental in Optuna 4
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True, constant_liar=True)
        blank = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
        dimensions = {name: each for name, each in distributions(space).items() if not each.single()}
        found: Mapping[str, Any] = sampler.sample_relative(study, blank, dimensions)
    fallback = random.Random(seed)
    setting = {}
    for name, axis in space.axes.items():
        if name not in found:
            setting[name] = axis.at(fallback.random())
        else:
            setting[name] = decoded(axis, found[name])
    return setting


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The axes as Optuna's; a choice is among texts, because Optuna stores nothing else of what a value may be."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, axis in space.axes.items():
        if isinstance(axis, Choice):
            found[name] = CategoricalDistribution([canonical(value) for value in axis.values])
        elif axis.scale == "int":
            found[name] = IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
        else:
            found[name] = FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)
    return found


def encoded(space: Space, setting: Setting) -> dict[str, Any]:
    """A setting as Optuna's parameters."""
    return {n: canonical(setting[n]) if isinstance(axis, Choice) else setting[n] for n, axis in space.axes.items()}


def decoded(axis: Axis, value: Any) -> Any:
    """The value of an axis that stands for one of Optuna's."""
    if isinstance(axis, Choice):
        return {canonical(each): each for each in axis.values}[value]
    return axis.nearest(value)
