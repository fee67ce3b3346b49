"""The optimizers by name, derived from their parts: what exists, its hyperparameters, what they accept.

A name is `rule[_probe][_memory]`. This module imports no torch, so suites are validated and listed without it; only
`create_optimizer` does, when it is called.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from cmbench.optim.hyperparameters import GAMMA, MOMENTUM, RHO, SCOPE, Hyperparameter
from cmbench.optim.memories import MEMORIES, Memory
from cmbench.optim.rules import RULES, Rule
from cmbench.optim.rules.base import Part

PROBES: dict[str, Part] = {
    "sam": Part("sam", "SAM", "gradient taken at θ + ρ·g/‖g‖", (RHO, SCOPE)),
    "meg": Part("meg", "MEG", "gradient taken at θ − γ·g", (GAMMA,)),
}


@dataclass(frozen=True)
class OptimizerInfo:
    """A registered optimizer: a rule, with or without a probe and a memory."""

    rule: Rule
    probe: Part | None
    memory: Memory | None

    @property
    def parts(self) -> list[Part]:
        """Those it has, in the order of its name."""
        return [part for part in (self.rule, self.probe, self.memory) if part is not None]

    @property
    def name(self) -> str:
        """What `create_optimizer` and a suite call it: `adam_sam_cm`."""
        return "_".join(part.key for part in self.parts)

    @property
    def title(self) -> str:
        """The paper's spelling: `Adam+SAM+CM`."""
        return "+".join(part.title for part in self.parts)

    @property
    def description(self) -> str:
        """What its parts do, in the order of its name."""
        return "; ".join(part.description for part in self.parts)

    @property
    def gradient_evaluations(self) -> int:
        """Gradients that one step costs."""
        return 2 if self.probe else 1

    @property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """Every hyperparameter by name, with the default that it has here."""
        found = {each.name: each for part in self.parts for each in part.hyperparameters}
        if self.memory is MEMORIES["cm"] and "betas" not in found:
            # Without momentum there would be no momenta to remember.
            found["momentum"] = MOMENTUM.with_default(0.9)
        return found

    @property
    def defaults(self) -> dict[str, Any]:
        """Every hyperparameter with its default."""
        return {name: each.default for name, each in self.hyperparameters.items()}

    def resolve(self, given: dict[str, Any]) -> dict[str, Any]:
        """The defaults overridden by `given`, all validated; raises `ValueError` for a name or value it refuses.

        Those that stand only where they are set are left out at their default.
        """
        known, values = self.hyperparameters, self.defaults
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"{self.name} has no hyperparameter '{name}': {accepted(name, known)}")
            values[name] = known[name].validated(value)
        return {
            name: value
            for name, value in values.items()
            if not known[name].only_where_set or value != known[name].default
        }


REGISTRY: dict[str, OptimizerInfo] = {
    info.name: info
    for info in (
        OptimizerInfo(*parts) for parts in product(RULES.values(), (None, *PROBES.values()), (None, *MEMORIES.values()))
    )
}

PARTS: tuple[Part, ...] = (*RULES.values(), *PROBES.values(), *MEMORIES.values())

HYPERPARAMETERS: dict[str, Hyperparameter] = {each.name: each for part in PARTS for each in part.hyperparameters}
"""Every hyperparameter of any optimizer, by name; an optimizer may have a default of its own for it."""


def list_optimizers() -> list[str]:
    """The names that `create_optimizer` accepts."""
    return list(REGISTRY)


def get_info(name: str) -> OptimizerInfo:
    """The record of the optimizer called `name`; raises `ValueError` with a suggestion when there is none."""
    if name not in REGISTRY:
        raise ValueError(f"unknown optimizer '{name}': {accepted(name, REGISTRY)}")
    return REGISTRY[name]


def title_of(name: str, hyperparameters: Mapping[str, Any]) -> str:
    """How an optimizer is called in a table: `Adam+CM`, or of one that is not registered here `Lion+SAM+CG`."""
    if name in REGISTRY:
        return REGISTRY[name].title
    parts: dict[str, Mapping[str, Part]] = {"probe": PROBES, "memory": MEMORIES}
    added = (known[hyperparameters[key]].title for key, known in parts.items() if hyperparameters.get(key) in known)
    return "+".join((name.rpartition(":")[2].rpartition(".")[2], *added))


def accepted(name: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelled name, where there is one, and what is accepted."""
    close = difflib.get_close_matches(str(name), known := list(known), n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}accepted: {', '.join(known)}"
