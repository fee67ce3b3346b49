"""The parts that an optimizer's name is made of, as data: what exists, its hyperparameters, what they accept.

A name is `rule[_probe][_memory]`. This module imports no torch, so suites are validated and listed without it; only
`create_optimizer` does, when it is called.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any


@dataclass(frozen=True)
class Hyperparameter:
    """One setting of an optimizer: its default, its meaning, and a predicate with the words that describe it."""

    name: str
    default: Any
    description: str
    accepts: str
    check: Callable[[Any], bool]

    def validated(self, value: Any) -> Any:
        """`value` in its canonical form: a pair as a tuple, a dtype by name.

        Raises `ValueError` naming the value it refuses.
        """
        if isinstance(value, list):
            value = tuple(value)
        if self.name == "buffer_dtype" and value is not None:
            value = str(value).removeprefix("torch.")
        try:
            accepted = self.check(value)
        except TypeError:
            accepted = False
        if not accepted:
            raise ValueError(f"invalid {self.name}: {value!r} (accepted: {self.accepts})")
        return value


def _is_number(value: Any) -> bool:
    # A 0-dim tensor is accepted as a learning rate; it has `item`, and comparing it here would read it back.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number(low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False):
    def check(value: Any) -> bool:
        above = value > low if open_low else value >= low
        return _is_number(value) and above and (value < high if open_high else value <= high)

    return check


_RATE = _number(0, 1, open_high=True)

HYPERPARAMETERS = {
    h.name: h
    for h in (
        Hyperparameter("lr", 1e-3, "learning rate α", "a number >= 0", lambda v: hasattr(v, "item") or _number(0)(v)),
        Hyperparameter(
            "betas",
            (0.9, 0.999),
            "decay rates (β₁, β₂) of the two moments",
            "two numbers in [0, 1)",
            lambda v: isinstance(v, tuple) and len(v) == 2 and all(_RATE(b) for b in v),
        ),
        Hyperparameter("eps", 1e-8, "added to the root of the second moment", "a number >= 0", _number(0)),
        Hyperparameter("weight_decay", 0.0, "decoupled for adam, L2 for sgd", "a number >= 0", _number(0)),
        Hyperparameter("momentum", 0.0, "decay rate of the momentum", "a number in [0, 1)", _RATE),
        Hyperparameter(
            "capacity",
            5,
            "entries in the buffer (C)",
            "an integer >= 0",
            lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0,
        ),
        Hyperparameter(
            "decay", 0.7, "of the priorities, per step (λ)", "a number in (0, 1]", _number(0, 1, open_low=True)
        ),
        Hyperparameter(
            "priority",
            "gradient",
            "what ranks an entry: the gradient's norm, the entry's own norm, or its age",
            "'gradient', 'momentum' or 'fifo'",
            lambda v: v in ("gradient", "momentum", "fifo"),
        ),
        Hyperparameter(
            "scope",
            "global",
            "one norm and decision for the model, for each tensor, or for each lane (leading dimension)",
            "'global', 'per_tensor' or 'lane'",
            lambda v: v in ("global", "per_tensor", "lane"),
        ),
        Hyperparameter(
            "buffer_dtype",
            None,
            "type of the buffer's entries; the parameters' if none is given",
            "'bfloat16', 'float16', 'float32', 'float64' or none",
            lambda v: v in (None, "bfloat16", "float16", "float32", "float64"),
        ),
        Hyperparameter("rho", 0.05, "length of the step to SAM's probe (ρ)", "a number >= 0", _number(0)),
        Hyperparameter("gamma", 0.01, "step size to the extragradient's probe (γ)", "a number >= 0", _number(0)),
    )
}


@dataclass(frozen=True)
class Part:
    """A rule, a probe or a memory: what it is called, what it does, which hyperparameters it brings."""

    key: str
    title: str
    description: str
    hyperparameters: tuple[str, ...]


RULES = {
    "adam": Part("adam", "Adam", "Adam with decoupled weight decay", ("lr", "betas", "eps", "weight_decay")),
    "sgd": Part("sgd", "SGD", "stochastic gradient descent", ("lr", "momentum", "weight_decay")),
}
PROBES = {
    "": Part("", "", "", ()),
    "sam": Part("sam", "SAM", "gradient taken at θ + ρ·g/‖g‖", ("rho", "scope")),
    "meg": Part("meg", "MEG", "gradient taken at θ − γ·g", ("gamma",)),
}
MEMORIES = {
    "": Part("", "", "", ()),
    "cg": Part("cg", "CG", "critical gradients", ("capacity", "decay", "priority", "scope", "buffer_dtype")),
    "cm": Part("cm", "CM", "critical momenta", ("capacity", "decay", "priority", "scope", "buffer_dtype")),
}


@dataclass(frozen=True)
class OptimizerInfo:
    """A registered optimizer: a rule, a probe and a memory."""

    rule: Part
    probe: Part
    memory: Part

    @property
    def _parts(self) -> list[Part]:
        return [p for p in (self.rule, self.probe, self.memory) if p.key]

    @property
    def name(self) -> str:
        return "_".join(p.key for p in self._parts)

    @property
    def title(self) -> str:
        """The paper's spelling: `Adam+SAM+CM`."""
        return "+".join(p.title for p in self._parts)

    @property
    def description(self) -> str:
        return "; ".join(p.description for p in self._parts)

    @property
    def gradient_evaluations(self) -> int:
        """Gradients that one step costs."""
        return 2 if self.probe.key else 1

    @property
    def defaults(self) -> dict[str, Any]:
        """Every hyperparameter of this optimizer with its default."""
        names = dict.fromkeys(name for part in self._parts for name in part.hyperparameters)
        values = {name: HYPERPARAMETERS[name].default for name in names}
        if self.name.startswith("sgd") and self.memory.key == "cm":
            values["momentum"] = 0.9  # without momentum there would be no momenta to remember
        return values

    def resolve(self, given: dict[str, Any]) -> dict[str, Any]:
        """The defaults overridden by `given`, all validated; raises `ValueError` for a name or value it refuses."""
        values = self.defaults
        for name, value in given.items():
            if name not in values:
                close = difflib.get_close_matches(name, values, n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                raise ValueError(f"{self.name} has no hyperparameter '{name}': {hint}accepted: {', '.join(values)}")
            values[name] = HYPERPARAMETERS[name].validated(value)
        return values


REGISTRY = {
    info.name: info
    for info in (OptimizerInfo(*parts) for parts in product(*(d.values() for d in (RULES, PROBES, MEMORIES))))
}


def list_optimizers() -> list[str]:
    """The names that `create_optimizer` accepts."""
    return list(REGISTRY)


def get_info(name: str) -> OptimizerInfo:
    """The record of the optimizer called `name`; raises `ValueError` with a suggestion when there is none."""
    if name not in REGISTRY:
        close = difflib.get_close_matches(str(name), REGISTRY, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ValueError(f"unknown optimizer '{name}': {hint}accepted: {', '.join(REGISTRY)}")
    return REGISTRY[name]
