"""What is made of a saved state before an optimizer with a memory takes it: completed, or refused."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from cmbench.optim.memories import Memory
from cmbench.optim.registry import HYPERPARAMETERS
from cmbench.optim.rules import Rule

RANKING = ("priorities", "ages", "accepted")
SHARED = ("capacity", "decay", "priority", "scope", "buffer_dtype", "foreach", "fused")
"""What all groups have in common."""

_HOW = ("foreach", "fused")
_OTHERS = ("amsgrad", "nesterov", "dampening", "centered", "momentum_decay")
"""Settings of torch's optimizers that no rule here has."""


def check_shared(group: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    """Raises `ValueError` for a group whose buffer policy is not that of the first one."""
    for name in SHARED:
        if group[name] != first[name]:
            raise ValueError(
                f"invalid {name}: {group[name]!r} (accepted: {first[name]!r}, as in the first group: all groups share "
                "one buffer policy)"
            )


@dataclass
class Loading:
    """One loading of a state dict into an optimizer of a rule with a memory, whose name (`adam_cm`) is `kind`.

    A state of its own kind is taken whole, hyperparameters included, as torch's optimizers take theirs. Of another
    one's is taken what has the same name, shape and meaning: all that memory and rule keep, with the step count. The
    buffer starts empty, and the groups keep what the other has not.
    """

    kind: str
    rule: Rule
    memory: Memory
    groups: Sequence[dict[str, Any]]
    defaults: Mapping[str, Any]
    taken: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)

    def fitted(self, given: dict[str, Any]) -> dict[str, Any]:
        """`given` as it can be loaded; raises `ValueError` for what does not fit."""
        saved = given["param_groups"]
        if [len(group["params"]) for group in saved] != [len(group["params"]) for group in self.groups]:
            return given  # torch refuses it
        is_own = given.get("optimizer", self.kind) == self.kind and all("capacity" in group for group in saved)
        groups = [self._group(*pair, is_own) for pair in zip(saved, self.groups, strict=True)]
        for group in groups:
            check_shared(group, groups[0])
        state = dict(given["state"])
        for group, own in zip(groups, self.groups, strict=True):
            for key, param in zip(group["params"], own["params"], strict=True):
                if not isinstance(state.get(key, {}), Mapping):
                    raise self._refusal(key, f"has a {type(state[key]).__name__} for its state")
                if state.get(key):
                    state[key] = (self._own if is_own else self._of_another)(key, state[key], param, group)
        if not is_own:
            self._warn()
        return given | {"param_groups": groups, "state": state}

    def _group(self, saved: Mapping[str, Any], own: Mapping[str, Any], is_own: bool) -> dict[str, Any]:
        missing = {name: own[name] for name in self.defaults if name in own and name not in saved}
        if not is_own:
            # How a step is made is no matter of the state, and β of critical momenta another quantity than torch's.
            kept = (*_HOW, "momentum") if self.memory.entry_stays_in else _HOW
            missing |= {name: own[name] for name in kept if name in own} | {"sum_age": 0}
            self.left |= {name for name in _OTHERS if saved.get(name)}
        group = {**saved, **missing}
        for name in self.defaults:
            if name in HYPERPARAMETERS:
                group[name] = HYPERPARAMETERS[name].validated(group[name])
        if not isinstance(age := group.get("sum_age", 0), int) or age < 0:
            raise ValueError(f"invalid sum_age: {age!r} (accepted: an integer >= 0)")
        decoupled = saved.get("decoupled_weight_decay", self.rule.decoupled)
        if not is_own and decoupled != self.rule.decoupled and group["weight_decay"]:
            self.left.add(f"that weight_decay is {'decoupled' if decoupled else 'L2'}")
        return group

    def _own(self, key: Any, record: Mapping[str, Any], param: Tensor, group: Mapping[str, Any]) -> dict[str, Any]:
        without_momentum = self.memory.state(self.rule, {**group, "momentum": 0.0})  # it may be switched on any time
        self._check(key, record, param, without_momentum, self.memory.state(self.rule, group), group)
        slots = sorted(filter(_is_slot, record))
        if group["capacity"] == 0 or not (slots or "buffer_sum" in record):
            return dict(record)
        wanted = sorted(f"slot_{k}" for k in range(group["capacity"]))
        lacking = [name for name in ("buffer_sum", *RANKING) if not isinstance(record.get(name), Tensor)]
        if slots != wanted or lacking:
            raise self._refusal(key, f"has {len(slots)} slots with capacity {group['capacity']}, and lacks {lacking}")
        for name in ("buffer_sum", *slots):
            self._check_shape(key, name, record[name], param.shape)
        lanes = param.shape[:1] if group["scope"] == "lane" else ()
        for name in RANKING:
            self._check_shape(key, name, record[name], lanes if name == "accepted" else (len(slots), *lanes))
        return dict(record)

    def _of_another(
        self, key: Any, record: Mapping[str, Any], param: Tensor, group: Mapping[str, Any]
    ) -> dict[str, Any]:
        record = {name: value for name, value in record.items() if value is not None}
        kept = self.memory.state(self.rule, group)
        self._check(key, record, param, kept, kept, group)
        found = {"step": record.get("step", 0.0)} | {name: record[name] for name in kept}
        self.taken |= found.keys() & record.keys()
        self.left |= record.keys() - found.keys()
        return found

    def _check(
        self,
        key: Any,
        record: Mapping[str, Any],
        param: Tensor,
        needed: Sequence[str],
        kept: Sequence[str],
        group: Mapping[str, Any],
    ) -> None:
        lacking = [name for name in needed if not isinstance(record.get(name), Tensor)]
        if "step" not in record and _counts(self.rule, group):
            lacking.append("step")
        if lacking:
            has = f"lacks {', '.join(lacking)}, and has {', '.join(sorted(map(str, record)))}"
            if "momentum_buffer" in record and "exp_avg" in lacking:
                has += ": a momentum_buffer is a sum of gradients, and no mean of them"
            raise self._refusal(key, has)
        for name, value in record.items():
            if name in kept or name in ("buffer_sum", *RANKING) or _is_slot(name):
                if not isinstance(value, Tensor) or value.is_complex():
                    raise self._refusal(key, f"has {name}, which is no tensor of real numbers")
                if name in RANKING and value.is_floating_point() != (name == "priorities"):
                    raise self._refusal(key, f"has {name} of {value.dtype}")
            if name in kept:
                self._check_shape(key, name, value, param.shape)
        step = record.get("step", 0)
        if isinstance(step, Tensor) and step.numel() != 1:
            self._check_shape(key, "step", step, ())
        if not _is_count(step):
            raise self._refusal(key, f"has {step!r} for its step, and a finite number >= 0 is needed")

    def _check_shape(self, key: Any, name: str, value: Tensor, shape: Sequence[int]) -> None:
        if tuple(value.shape) != tuple(shape):
            raise self._refusal(key, f"has {name} of shape {tuple(value.shape)}, and {tuple(shape)} is needed")

    def _refusal(self, key: Any, why: str) -> ValueError:
        return ValueError(f"state that does not fit {self.kind}: parameter {key} {why}; nothing was loaded")

    def _warn(self) -> None:
        taken = ", ".join(sorted(self.taken)) or "hyperparameters, and no state,"
        left = f"; not taken: {', '.join(sorted(map(str, self.left)))}" if self.left else ""
        what = f"{self.kind} has taken {taken} of another optimizer; its buffer starts empty{left}"
        warnings.warn(what, stacklevel=2)


def _counts(rule: Rule, group: Mapping[str, Any]) -> bool:
    """Whether the rule's step depends on how many there were."""
    first, second = (rule.numbers(group, torch.tensor(t)) for t in (1.0, 2.0))
    return any(float(a) != float(b) for a, b in zip(first, second, strict=True))


def _is_slot(name: Any) -> bool:
    return isinstance(name, str) and name.startswith("slot_")


def _is_count(step: Any) -> bool:
    """Whether it is a finite number >= 0, or a tensor of one; one of which there is no value yet (fake, meta) is."""
    try:
        value = step.item() if isinstance(step, Tensor) else step
        return isinstance(value, Real) and 0 <= float(value) < math.inf
    except OverflowError:
        return False
    except RuntimeError:
        return True
