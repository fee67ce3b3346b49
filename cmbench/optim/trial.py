"""Whether there is a native step: compiled for a rule, a memory and types of numbers, and tried on a sample."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import torch

from cmbench.optim.addressed import AddressedPlan, Variant, passable, roles_of
from cmbench.optim.judge import Judge
from cmbench.optim.native import CHUNK, Kernel, NativePlan
from cmbench.optim.native_lanes import LanesPlan
from cmbench.optim.plan import NoPlan, Plan
from cmbench.optim.rules import RULES
from cmbench.optim.sample import is_right, is_right_for_lanes
from cmbench.optim.threads import few_threads
from cmbench.optim.toolchain import CompilerError, is_off, library
from cmbench.optim.update import GroupTensors

_CPU = torch.device("cpu")


def native_plan(kind: tuple[object, ...], group: GroupTensors, deferred: bool) -> Plan | None:
    """The plan for what of a group is on a CPU: nothing, where there is no compiler.

    None where there is no parameter on a CPU, where C does not know the rule, the memory or the types, and where the
    native step is switched off: there torch's compiler may do it.
    """
    found = None if is_off() else passable(group, _CPU)
    if found is None:
        return None
    variant, members = found
    kernel = loaded(variant)
    return NativePlan(kind, group, members, deferred, kernel) if kernel else NoPlan(kind, group)


def kernel_for_lanes(group: GroupTensors) -> Kernel | None:
    """The C functions for lanes, where they are the rows of the only parameter, on a CPU, and C knows what to do."""
    param = group.params[0]
    if is_off() or group.idle or group.sharded or not param.numel() or not param.is_contiguous():
        return None
    found = passable(group, _CPU)
    return loaded(replace(found[0], lanewise=True), "plain") if found else None


def loaded(variant: Variant, instead: str = "foreach") -> Kernel | None:
    """The C functions, tried on a sample; None, with a warning, where they can't be compiled or are wrong."""
    found = _tried(variant)
    if isinstance(found, Kernel):
        return found
    _warn_once(found, instead)
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

    def lanes(group: GroupTensors, judge: Judge) -> None:
        LanesPlan(kernel, group, judge).run(group, judge)

    with few_threads(CHUNK):
        is_good = is_right(plan, variant, _CPU, CHUNK) and (not variant.lanewise or is_right_for_lanes(lanes, variant))
    return kernel if is_good else "its result is wrong"


@cache
def _warn_once(problem: str, instead: str) -> None:
    warnings.warn(f"fused=True: no native step, {instead} is used instead ({problem})", stacklevel=2)


def is_available(rule: str, memory: str, *, lanewise: bool = False) -> bool:
    """Whether there is a native step for float32, or of lanes in float64; compiles, tries, and warns of nothing."""
    known = rule in RULES and roles_of(RULES[rule]) is not None and not is_off()
    dtype = torch.float64 if lanewise else torch.float32
    return known and isinstance(_tried(Variant(rule, memory, dtype, dtype, lanewise)), Kernel)
