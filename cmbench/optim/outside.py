"""Any class of `torch.optim.Optimizer`: what it can be told, and how a probe, a memory or a companion is put to it."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cmbench.optim.errors import UnfitOptimizer
from cmbench.optim.factory import PROBES as PROBE_CLASSES
from cmbench.optim.hyperparameters import FIRST_STEP, Hyperparameter, as_float
from cmbench.optim.memories import MEMORIES
from cmbench.optim.memory_over import MemoryOver, decay_of_mean
from cmbench.optim.registry import PROBES, accepted
from cmbench.optim.rules.base import Part
from cmbench.optim.split import Split

Group = dict[str, Any]
_HOW = ("foreach", "fused", "capturable", "differentiable")
"""Arguments of torch's optimizers that decide how a step is computed, and not what: recorded where they are set."""
_REAL = ("lr", "weight_decay", "momentum", "dampening", "eps")
"""Arguments that are real numbers in every optimizer, also where nothing says so."""


@dataclass(frozen=True)
class Outside:
    """A class of optimizers that is not registered here, by the `name` under which it is asked for.

    Besides the arguments of its constructor it takes `probe` (`sam`, `meg`) and `memory` (`cg`, `cm`) with their
    hyperparameters; `rest`, a companion for parameters that it does not take; `create_graph`, for a step that
    differentiates the gradient.
    """

    name: str
    made: Any
    """A class derived from `torch.optim.Optimizer`; anything else raises `ValueError`."""

    def __post_init__(self) -> None:
        if not (isinstance(self.made, type) and issubclass(self.made, Optimizer)):
            what = f"the class {self.made.__name__}" if isinstance(self.made, type) else type(self.made).__name__
            raise ValueError(f"it is {what}: accepted: a class derived from torch.optim.Optimizer")

    @cached_property
    def arguments(self) -> dict[str, inspect.Parameter]:
        """Those of the constructor but the first; where it passes others on, those of its base that it lets through."""
        found: dict[str, inspect.Parameter] = {}
        refused: set[str] = set()
        for kind in self.made.__mro__:
            if "__init__" not in vars(kind) or kind is Optimizer:
                continue
            own = list(inspect.signature(vars(kind)["__init__"]).parameters.values())[2:]
            named = [p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in found]
            if kind is not self.made:
                named = [p for p in named if p.default is not p.empty]
                refused |= {p.name for p in named if self._can_be_made() and not self._can_be_made({p.name: p.default})}
            found |= {p.name: p for p in named if p.name not in refused}
            if all(p.kind is not p.VAR_KEYWORD for p in own):
                break
        return found

    def _can_be_made(self, values: Mapping[str, Any] = MappingProxyType({}), param: Tensor | None = None) -> bool:
        """Whether the class can be made over a parameter like `param`, with those of its arguments."""
        like = torch.zeros(2, 2) if param is None else param
        try:
            with redirect_stdout(sys.stderr):
                self._alone([{"params": [torch.zeros_like(like, requires_grad=True)]}], values)
        except (Exception, SystemExit):  # whatever a constructor does
            return False
        return True

    @property
    def needs_closure(self) -> bool:
        """Whether `step` cannot be called without a closure that evaluates loss and gradient."""
        closure = _closure(self.made)
        return closure is not None and closure.default is closure.empty

    def parts(self, given: Mapping[str, Any]) -> list[Part]:
        """The probe and the memory that are asked for; raises `ValueError` for one that does not exist."""
        found = []
        for key, known in (("probe", PROBES), ("memory", MEMORIES)):
            if (name := given.get(key)) is None:
                continue
            if name not in known:
                raise ValueError(f"invalid {key}: {name!r} (accepted: {', '.join(known)})")
            found.append(known[name])
        return found

    def hyperparameters(self, given: Mapping[str, Any]) -> list[str]:
        """The names that `resolve` accepts beside those that are `given`."""
        of_parts = (each.name for part in self.parts(given) for each in part.hyperparameters)
        return list(dict.fromkeys([*self.arguments, *of_parts]))

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every hyperparameter with its value, defaults included; raises `ValueError` for a name or value it refuses.

        A default that is not plain data, and how a step is computed, stand there only where they are given.
        """
        parts = self.parts(given)
        of_parts = {each.name: each for part in parts for each in part.hyperparameters if each is not FIRST_STEP}
        if both := sorted(of_parts.keys() & self.arguments.keys()):
            raise ValueError(f"{' and '.join(p.title for p in parts)}: has {', '.join(both)}, and so has {self.name}")
        if parts and (self.needs_closure or given.get("create_graph")):
            raise ValueError("probe and memory: accepted: with a step that needs neither closure nor create_graph")
        values = {
            name: as_float(argument.default) if _is_real(argument) else argument.default
            for name, argument in self.arguments.items()
            if name not in _HOW and is_plain(argument.default)
        }
        for part, key in ((part, "probe" if part.key in PROBES else "memory") for part in parts):
            values |= {key: part.key} | {h.name: h.default for h in part.hyperparameters if h is not FIRST_STEP}
        for name, value in given.items():
            if name not in ("probe", "memory"):
                values[name] = self._validated(name, value, of_parts)
        missing = [name for name, p in self.arguments.items() if p.default is p.empty and name not in values]
        if missing:
            raise ValueError(f"{missing[0]}: missing: {self.name} has no default for it")
        return values

    def _validated(self, name: str, value: Any, of_parts: Mapping[str, Hyperparameter]) -> Any:
        if name in of_parts:
            return of_parts[name].validated(value)
        if name == "rest" and isinstance(value, dict) and "name" in value:
            return value
        if name == "create_graph" and isinstance(value, bool):
            return value
        if name in ("rest", "create_graph"):
            raise ValueError(f"invalid {name}: {value!r} (accepted: {_COMPOSITION[name]})")
        if name not in self.arguments:
            known = dict.fromkeys([*self.arguments, *of_parts, *_COMPOSITION])
            raise ValueError(f"{self.name} has no hyperparameter '{name}': {accepted(name, known)}")
        default = self.arguments[name].default
        if isinstance(value, str) and isinstance(default, (int, float)):
            raise ValueError(f"invalid {name}: {value!r} (accepted: a number, as its default {default!r})")
        if isinstance(default, float) or (isinstance(value, int) and _is_real(self.arguments[name])):
            return as_float(value)
        return tuple(value) if isinstance(value, list) and not isinstance(default, list) else value

    def build(
        self,
        groups: Sequence[Group],
        values: Mapping[str, Any],
        companion: Callable[[Sequence[Group]], Optimizer] | None,
    ) -> Optimizer:
        """The optimizer over parameter groups, each with `params` and, beside them, the `names` of these.

        `companion` builds the one for the parameters that this one does not take. Raises what the class raises, and
        `UnfitOptimizer` for parameters that it does not take where there is no companion.
        """
        own = {name: value for name, value in values.items() if name in self.arguments}
        optimizer = self._split(groups, own, companion, (values.get("rest") or {}).get("match", ()))
        policy = {h.name: values[h.name] for h in _policy(values)}
        if values.get("memory") == "cm":
            beta = None if companion else decay_of_mean(lambda params: self._alone([{"params": params}], own))
            if beta is None:
                raise ValueError(
                    f"memory cm: {self.name} keeps no mean of gradients as `exp_avg` (accepted: memory cg)"
                )
            optimizer = MemoryOver(optimizer, momentum=beta, **policy)
        elif values.get("memory") == "cg":
            optimizer = MemoryOver(optimizer, **policy)
        if probe := values.get("probe"):
            of_probe = {h.name: values[h.name] for h in PROBES[probe].hyperparameters}
            optimizer = PROBE_CLASSES[probe](optimizer, **of_probe)
        return optimizer

    def _alone(self, groups: Sequence[Group], values: Mapping[str, Any]) -> Optimizer:
        """The class over all of the parameters, with those of its arguments."""
        optimizer: Optimizer = self.made(
            [{k: v for k, v in group.items() if k != "names"} for group in groups], **values
        )
        return optimizer

    def _split(
        self,
        groups: Sequence[Group],
        values: Mapping[str, Any],
        companion: Callable[[Sequence[Group]], Optimizer] | None,
        patterns: Sequence[str],
    ) -> Optimizer:
        takes: dict[int, bool] = {}

        def is_own(name: str, param: Tensor) -> bool:
            if any(pattern.lower() in name.lower() for pattern in patterns):
                return False
            if param.dim() not in takes:
                takes[param.dim()] = self._can_be_made(values, param)
            return takes[param.dim()]

        own: list[Group] = []
        others: list[Group] = []
        for group in groups:
            pairs = list(zip(group.get("names") or [""] * len(group["params"]), group["params"], strict=True))
            for members, wanted in ((own, True), (others, False)):
                if chosen := [pair for pair in pairs if is_own(*pair) == wanted]:
                    names, params = map(list, zip(*chosen, strict=True))
                    members.append({**group, "names": names, "params": params})
        if not others or not own:
            # What is wrong with all of them, the class says itself.
            optimizer = self._alone(groups, values)
            if others and companion:
                raise UnfitOptimizer(
                    f"{self.name}: its companion's match, {', '.join(patterns)}, leaves it no parameter"
                )
            return optimizer
        if companion is None:
            dims = sorted(dim for dim, taken in takes.items() if not taken)
            raise UnfitOptimizer(
                f"{self.name} does not take parameters of {' or '.join(map(str, dims))} dimensions: accepted: beside a "
                "companion for them, rest: {name: adam, lr: …}"
            )
        return Split(self._alone(own, values), companion(others))


_COMPOSITION = {
    "probe": "sam or meg",
    "memory": "cg or cm",
    "rest": "a mapping with the name of an optimizer and its hyperparameters, and `match`, a list of parts of names",
    "create_graph": "true or false",
}
COMPOSITION = tuple(_COMPOSITION)
"""What an outside optimizer takes besides the arguments of its constructor."""


def accepts_closure(optimizer: Optimizer) -> bool:
    """Whether its `step` can be given a closure."""
    return _closure(type(optimizer)) is not None


def _is_real(argument: inspect.Parameter) -> bool:
    """Whether it takes any number, though its default may be a whole one: `0` and `0.0` are one setting then."""
    return argument.name in _REAL or re.search(r"\bfloat\b", str(argument.annotation)) is not None


def _closure(made: type[Optimizer]) -> inspect.Parameter | None:
    # torch wraps `step` when a class is first used; what it wraps has the signature.
    parameters = list(inspect.signature(inspect.unwrap(made.step)).parameters.values())[1:]
    named = [p for p in parameters if p.name == "closure"]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    return next(iter(named or positional), None)


def _policy(values: Mapping[str, Any]) -> Iterator[Hyperparameter]:
    if values.get("memory"):
        yield from (h for h in MEMORIES[values["memory"]].hyperparameters if h is not FIRST_STEP)


def is_plain(value: Any) -> bool:
    """Whether a JSON file can hold it."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))
