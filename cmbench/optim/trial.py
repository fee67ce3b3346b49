"""Whether there is a native step: compiled for a rule, a memory and types of numbers, and tried on a sample."""

from __future__ import annotations

import warnings
from functools import cache

import torch

from cmbench.optim.addressed import AddressedPlan, Variant, passable, roles_of
from cmbench.optim.native import CHUNK, Kernel, NativePlan
from cmbench.optim.plan import NoPlan, Plan
from cmbench.optim.rules import RULES
from cmbench.optim.sample import is_right
from cmbench.optim.threads import few_threads
from cmbench.optim.toolchain import CompilerError, is_off, library
from cmbench.optim.update import GroupTensors


def native_plan(kind: tuple[object, ...], group: GroupTensors, deferred: bool) -> Plan | None:
    """The plan for what of a group is on a CPU: nothing, where there is no compiler.

    None where there is no parameter on a CPU, where C does not know the rule, the memory or the types, and where the
    native step is switched off: there torch's compiler may do it.
    """
    found = None if is_off() else passable(group, torch.device("cpu"))
    if found is None:
        return None
    variant, members = found
    kernel = loaded(variant)
    return NativePlan(kind, group, members, deferred, kernel) if kernel else NoPlan(kind, group)


def loaded(variant: Variant) -> Kernel | None:
    """The C functions, tried on a sample; None, with a warning, where they can't be compiled or are wrong."""
    found = _tried(variant)
    if isinstance(found, Kernel):
        return found
    _warn_once(found)
    return None


@cache
def _tried(variant: Variant) -> Kernel | str:
    """The C functions, or why there are none."""
    try:
        kernel = Kernel(library(variant.defines))
    except (CompilerError, OSError) as error:
        return str(error)

    def plan(group: GroupTensors, deferred: bool) -> AddressedPlan:
        return NativePlan((), group, list(range(len(group.params))), deferred, kernel)

    with few_threads(CHUNK):
        return kernel if is_right(plan, variant, torch.device("cpu"), CHUNK) else "its result is wrong"


@cache
def _warn_once(problem: str) -> None:
    warnings.warn(f"fused=True: no native step, foreach is used instead ({problem})", stacklevel=2)


def is_available(rule: str, memory: str) -> bool:
    """Whether there is a native step for float32; compiles and tries it, and warns of nothing."""
    known = rule in RULES and roles_of(RULES[rule]) is not None and not is_off()
    return known and isinstance(_tried(Variant(rule, memory, torch.float32, torch.float32)), Kernel)
