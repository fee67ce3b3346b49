"""From a training suite to what a sweep of it tries: for every optimizer a space, and for every point of it a suite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from pydantic import ValidationError

from cmbench.errors import UserError
from cmbench.experiments.entries import OptimizerSpec
from cmbench.experiments.grid import FIRST_SEED, SEEDS
from cmbench.experiments.outside import completed
from cmbench.experiments.settings import MOST_SEEDS, TrainSuite
from cmbench.experiments.suite import ResolvedSuite, load_suite
from cmbench.experiments.sweep.axes import Axis, Choice
from cmbench.experiments.sweep.checks import is_setting, refusal, with_settings
from cmbench.experiments.text import canonical, value_text
from cmbench.optim.registry import REGISTRY

Setting = dict[str, Any]
"""A value for every axis of a space."""
SUFFIX = "_sweep"
"""What the name of a suite's sweep ends with."""


@dataclass(frozen=True)
class Space:
    """The axes of one optimizer by name; a setting is a value on each."""

    axes: Mapping[str, Axis]

    @property
    def size(self) -> int | None:
        """How many settings there are; None where there is no end of them."""
        listed = [axis.listed() for axis in self.axes.values()]
        return None if None in listed else math.prod(len(values) for values in listed if values)

    def settings(self) -> Iterator[Setting]:
        """All settings, the last axis varying fastest; raises `ValueError` naming an axis without an end."""
        listed = {name: axis.listed() for name, axis in self.axes.items()}
        for name, values in listed.items():
            if values is None:
                raise ValueError(name)
        for point in product(*(values for values in listed.values() if values)):
            yield dict(zip(listed, point, strict=True))

    def at(self, point: Sequence[float]) -> Setting:
        """The setting at a point of the unit cube, a coordinate in [0, 1) for every axis."""
        return {name: axis.at(u) for (name, axis), u in zip(self.axes.items(), point, strict=True)}

    def document(self) -> dict[str, Any]:
        """The space as it stands in a suite's file."""
        return {name: axis.document() for name, axis in self.axes.items()}

    def text(self, setting: Setting) -> str:
        """`batch_size=32 lr=0.01`: the values that can vary, those of settings before hyperparameters."""
        varying = [name for name, axis in self.axes.items() if not (isinstance(axis, Choice) and len(axis.values) == 1)]
        ordered = sorted(varying, key=lambda name: not is_setting(name))
        return " ".join(f"{name}={_text(setting[name])}" for name in ordered)


def _text(value: Any) -> str:
    # A part of a label has no spaces.
    text = canonical(value) if isinstance(value, dict) else value_text(value, compact=True)
    return text.replace(" ", "")


@dataclass(frozen=True)
class Arm:
    """An optimizer of a sweep with its space; `given` names what the suite says of one that is not registered."""

    spec: OptimizerSpec
    space: Space
    given: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """The optimizer's label in the suite."""
        return self.spec.label


@dataclass(frozen=True)
class Sweep:
    """A suite called `NAME_sweep` with what is tried for each of its optimizers, in arms of their own.

    `source` is the suite that it is about.
    """

    source: ResolvedSuite[TrainSuite]
    suite: ResolvedSuite[TrainSuite]
    arms: tuple[Arm, ...]

    def trial(self, arm: Arm, setting: Setting) -> ResolvedSuite[TrainSuite]:
        """The suite of one trial: one optimizer in one setting, under a label that says which.

        Raises `UserError` where values do not go together that each for itself would do.
        """
        chosen = {name: value for name, value in setting.items() if is_setting(name)}
        own = {name: value for name, value in setting.items() if not is_setting(name)}
        label = f"{arm.label} {arm.space.text(setting)}".strip()
        try:
            settings = with_settings(self.suite.settings, chosen) if chosen else self.suite.settings
        except ValidationError as error:
            raise UserError(f"{self.source.name}.yaml: space: {label}: {refusal(error)}") from None
        hyperparameters = arm.spec.hyperparameters | own
        if arm.spec.name in REGISTRY:
            hyperparameters = REGISTRY[arm.spec.name].resolve(hyperparameters)
        spec = replace(arm.spec, label=label, hyperparameters=hyperparameters, grid={}, space={})
        return replace(self.suite, settings=settings, optimizers=(spec,))


def load_sweep(name_or_file: str, *, opts: Sequence[str] = (), sets: Sequence[str] = (), seeds: int = SEEDS) -> Sweep:
    """The sweep of a training suite, with `--opt` and `--set` applied; each setting is tried for so many `seeds`.

    An optimizer's space is its own, else that of the suite without the hyperparameters that it lacks, else its grid or
    the suite's. Seeds are counted from where those of a grid are. Raises `UserError` where there is neither space nor
    grid, or none for the chosen optimizers.
    """
    if seeds > MOST_SEEDS:
        raise UserError(f"--seeds {seeds}: accepted: at most {MOST_SEEDS:,}")
    loaded = load_suite(name_or_file, kind="train", opts=opts, sets=sets)
    source = completed(loaded)
    suite, where = source.settings, f"{source.name}.yaml: space"
    if not (suite.space or suite.grid or any(spec.space or spec.grid for spec in source.optimizers)):
        raise UserError(f"{where}: missing; accepted: what to try, e.g. space: {{lr: {{log: [1e-4, 1e-1]}}}}")
    given = [frozenset(spec.hyperparameters) if spec.open else frozenset() for spec in loaded.optimizers]
    arms = tuple(Arm(spec, _space(spec, suite), own) for spec, own in zip(source.optimizers, given, strict=True))
    if not any(arm.space.axes for arm in arms):
        labels = ", ".join(arm.label for arm in arms)
        raise UserError(f"{where}: no chosen optimizer ({labels}) has one of {', '.join(suite.space or suite.grid)}")
    settings = suite.model_copy(update={"paper": None, "grid": {}, "space": {}, "seeds": seeds})
    named = replace(source, name=source.name + SUFFIX, settings=settings, first_seed=FIRST_SEED)
    return Sweep(source, named, arms)


def _space(spec: OptimizerSpec, suite: TrainSuite) -> Space:
    grids = ({name: Choice(values) for name, values in grid.items()} for grid in (spec.grid, suite.grid))
    found: Mapping[str, Axis] = next(filter(None, (spec.space, suite.space, *grids)), {})
    own = {*spec.hyperparameters, *(REGISTRY[spec.name].defaults if spec.name in REGISTRY else ())}
    return Space({name: axis for name, axis in found.items() if is_setting(name) or name in own})
