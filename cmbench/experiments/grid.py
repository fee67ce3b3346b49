"""A suite's grid: from the values tried of each hyperparameter to a suite with one optimizer per setting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from cmbench.errors import UserError
from cmbench.experiments.entries import OptimizerSpec
from cmbench.experiments.outside import completed
from cmbench.experiments.settings import TrainSuite
from cmbench.experiments.suite import ResolvedSuite, builtin_suites, load_suite
from cmbench.experiments.text import value_text
from cmbench.optim.registry import HYPERPARAMETERS

FIRST_SEED = 1000
"""A grid's seeds begin here: those that a suite's results are reported for must not choose its settings."""
SEEDS = 2
"""Seeds of each setting where the command line says nothing."""
_SUFFIX = "_grid"
_SETTING = re.compile(r" (\w+)=\S+$")


def load_grid(
    name_or_file: str, *, opts: Sequence[str] = (), sets: Sequence[str] = (), complete: bool = True
) -> ResolvedSuite[TrainSuite]:
    """The grid of a training suite, with `--opt` and `--set` applied: a suite called `NAME_grid`.

    For each of its optimizers it has the product of the hyperparameters in its own grid, or of those in the suite's
    that it has, the last one varying fastest; the others keep the suite's values. Labels name every hyperparameter that
    is searched by the file or by `sets`, so that parts of a grid that are run apart fit together. Optimizers that are
    not registered are imported, unless it need not be `complete`. Raises `UserError` where the suite has no grid, or
    none for the chosen optimizers.
    """
    suite = load_suite(name_or_file, kind="train", opts=opts, sets=[f"seeds={SEEDS}", *sets])
    whole = load_suite(name_or_file, kind="train", opts=opts)
    suite = completed(suite) if complete else suite
    grid, where = suite.settings.grid, f"{suite.name}.yaml: grid"
    if not grid and not any(spec.grid for spec in suite.optimizers):
        raise UserError(f"{where}: missing; accepted: the values to try, e.g. grid: {{lr: [0.01, 0.001]}}")
    if not any(_axes(spec, grid) for spec in suite.optimizers):
        labels = ", ".join(spec.label for spec in suite.optimizers)
        raise UserError(f"{where}: no chosen optimizer ({labels}) has one of {', '.join(grid)}")
    searched = {spec.label: _axes(spec, whole.settings.grid) for spec in whole.optimizers}
    trials = [trial for spec in suite.optimizers for trial in _trials(spec, grid, searched[spec.label])]
    settings = suite.settings.model_copy(update={"paper": None, "grid": {}})
    return replace(
        suite,
        name=suite.name + _SUFFIX,
        settings=settings,
        optimizers=tuple(trials),
        first_seed=FIRST_SEED,
    )


def _axes(spec: OptimizerSpec, grid: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return spec.grid or {name: values for name, values in grid.items() if name in spec.hyperparameters}


def _trials(spec: OptimizerSpec, grid: dict[str, tuple[Any, ...]], searched: Iterable[str]) -> list[OptimizerSpec]:
    axes = _axes(spec, grid)
    trials = []
    for point in product(*axes.values()):
        values = spec.hyperparameters | dict(zip(axes, point, strict=True))
        named = [
            f" {name}={value_text(values[name], compact=True)}"
            for name in dict.fromkeys([*searched, *axes])
            if name in values
        ]
        trials.append(replace(spec, label=spec.label + "".join(named), hyperparameters=values, grid={}))
    return trials


def split_label(label: str, of_optimizer: Iterable[str] = ()) -> tuple[str, str]:
    """The optimizer's label in its suite, and its setting in the grid: `("adam_cm", "lr=0.01 capacity=20")`.

    A setting is one of hyperparameters that are registered, or `of_optimizer`.
    """
    known, rest = {*HYPERPARAMETERS, *of_optimizer}, label
    while (match := _SETTING.search(rest)) and match.group(1) in known:
        rest = rest[: match.start()]
    return rest, label[len(rest) :].strip()


def suite_of_grid(name: str) -> str | None:
    """The name of the suite whose grid has this name: `digits` for `digits_grid`; None for other names."""
    return name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else None


def shipped(name: str) -> ResolvedSuite | None:
    """The suite of that name that ships with cmbench, or the grid of one (`digits_grid`), as it stands in its file."""
    suites = builtin_suites()
    if name in suites:
        return load_suite(name)
    stem = suite_of_grid(name)
    if stem is None or stem not in suites:
        return None
    suite = load_suite(stem)
    has_grid = bool(getattr(suite.settings, "grid", None)) or any(spec.grid for spec in suite.optimizers)
    return load_grid(stem, complete=False) if has_grid else None
