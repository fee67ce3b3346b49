"""What the command line asks for, as a suite: another surface, other capacities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from cmbench.errors import UserError
from cmbench.experiments.entries import OptimizerSpec
from cmbench.experiments.outside import completed
from cmbench.experiments.settings import LandscapeSuite
from cmbench.experiments.suite import ResolvedSuite, builtin_suites, read_suite
from cmbench.optim.registry import HYPERPARAMETERS

DEFAULT_SURFACE = "ackley"
GENERAL_SUITE = "surface"


def toy_suite(surface: str | None) -> str:
    """The built-in toy suite for a surface: the one of its name, else the one that takes any surface."""
    name = surface or DEFAULT_SURFACE
    return name if name in builtin_suites() and read_suite(name)[2].get("kind") == "toy" else GENERAL_SUITE


def surface_overrides(suite: str, surface: str | None) -> list[str]:
    """`--set` assignments that make `surface` the only one of the suite, in the domain that the suite has for it."""
    _, _, content = read_suite(suite)
    if surface is None or content.get("surface") == surface:
        return []
    several = content.get("surfaces")
    domain = several.get(surface) if isinstance(several, dict) else None
    return [f"surface={surface}", "surfaces={}", f"domain={'null' if domain is None else list(domain)}"]


def with_capacities(suite: ResolvedSuite[LandscapeSuite], capacities: Sequence[int]) -> ResolvedSuite[LandscapeSuite]:
    """The suite with every optimizer that has a memory in each of `capacities`, labelled `adam_cm C=20`.

    Raises `UserError` for a capacity that is refused, or when no optimizer has a memory.
    """
    suite = completed(suite)
    chosen: list[OptimizerSpec] = []
    for spec in suite.optimizers:
        if "capacity" not in spec.hyperparameters:
            chosen.append(spec)
            continue
        base = re.sub(r" C=\d+$", "", spec.label)
        for capacity in capacities:
            try:
                values = spec.hyperparameters | {"capacity": HYPERPARAMETERS["capacity"].validated(capacity)}
            except ValueError as error:
                raise UserError(f"--capacity {capacity}: {error}") from None
            variant = replace(spec, label=f"{base} C={capacity}", hyperparameters=values)
            if variant not in chosen:
                chosen.append(variant)
    if all("capacity" not in spec.hyperparameters for spec in chosen):
        raise UserError(f"--capacity: no chosen optimizer has one ({', '.join(s.label for s in suite.optimizers)})")
    return replace(suite, optimizers=tuple(chosen))
