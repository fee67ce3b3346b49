"""Which setting is tried next: on the grid, at random, or by TPE; never one that was tried before."""

from __future__ import annotations

import random
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from cmbench.experiments.sweep.axes import Axis, Choice
from cmbench.experiments.sweep.space import Setting, Space
from cmbench.experiments.text import canonical

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

SamplerName = Literal["gp", "tpe", "random", "grid"]
_STARTUP = {"gp": 4, "tpe": 8}
_ATTEMPTS = 20
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
    - `gp`: the points of a scrambled Sobol sequence, which cover the space more evenly than chance (Owen 1998), then
      the greatest expected improvement of a Gaussian process (Jones et al. 1998)
    - `tpe`: such points, then the tree-structured Parzen estimator (Bergstra et al. 2011) over all axes together,
      which learns from pruned trials, too
    """
    if sampler == "grid":
        return _left(space, tried, None if whole else random.Random(seed))
    draw = random.Random(f"{seed} {len(tried)}")
    for attempt in range(_ATTEMPTS):
        if sampler == "random" or not space.axes:
            setting = space.at([draw.random() for _ in space.axes])
        elif len(tried) < startup(space, sampler):
            setting = space.at(_sobol(len(space.axes), len(tried) + attempt, seed))
        else:
            setting = _by_model(space, study, sampler, draw.getrandbits(32))
        if canonical(setting) not in tried:
            return setting
    if space.size is not None:
        return _left(space, tried, draw)
    # A range without steps has values of three digits, which a narrow one runs out of, too.
    drawn = (space.at([draw.random() for _ in space.axes]) for _ in range(_ATTEMPTS * 100))
    return next((setting for setting in drawn if canonical(setting) not in tried), None)


def startup(space: Space, sampler: SamplerName) -> int:
    """How many trials of a Sobol sequence come before the first that a model proposes."""
    return max(_STARTUP.get(sampler, 0), len(space.axes) + 1)


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


def _by_model(space: Space, study: Study, sampler: SamplerName, seed: int) -> Setting:
    """The proposal of a model of the trials, made with a copy of the study: asked for one, Optuna begins a trial."""
    import optuna

    states = optuna.trial.TrialState
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both are experimental in some versions of Optuna
        model: optuna.samplers.BaseSampler = (
            optuna.samplers.GPSampler(seed=seed, n_startup_trials=1, deterministic_objective=False)
            if sampler == "gp"
            else optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True, constant_liar=True)
        )
        copy = optuna.create_study(direction=study.direction, sampler=model)
        copy.add_trials(study.get_trials(states=(states.COMPLETE, states.PRUNED, states.RUNNING)))
        asked = copy.ask(distributions(space))
    return {name: decoded(axis, asked.params[name]) for name, axis in space.axes.items()}


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
