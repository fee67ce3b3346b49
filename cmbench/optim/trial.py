"""Whether there is a native step: compiled for a rule, a memory and types of numbers, and tried on a sample."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision, replace
from cmbench.optim.implementations import Implementation
from cmbench.optim.memories import MEMORIES, Memory
from cmbench.optim.native import CHUNK, Kernel, NativePlan, roles_of
from cmbench.optim.plan import NoPlan, Plan
from cmbench.optim.rules import RULES, Rule
from cmbench.optim.threads import few_threads
from cmbench.optim.toolchain import CompilerError, is_off, library
from cmbench.optim.update import GroupTensors, memory_order

_KINDS = {torch.float32: "F32", torch.float64: "F64", torch.bfloat16: "BF16", torch.float16: "F16"}


@dataclass(frozen=True)
class Variant:
    """What the C function is compiled for."""

    rule: str
    memory: str
    dtype: torch.dtype
    slots: torch.dtype

    @property
    def defines(self) -> tuple[str, ...]:
        """What the compiler is told."""
        kinds = f"PARAM={_KINDS[self.dtype]}", f"SLOT={_KINDS[self.slots]}"
        return f"RULE={self.rule.upper()}", f"MEMORY={self.memory.upper()}", *kinds


def native_plan(kind: tuple[object, ...], group: GroupTensors, deferred: bool) -> Plan | None:
    """The plan for what of a group is on a CPU: nothing, where there is no compiler.

    None where there is no parameter on a CPU, where C does not know the rule, the memory or the types, and where the
    native step is switched off: there torch's compiler may do it.
    """
    rule, memory = group.rule.key, group.memory.key
    known = RULES.get(rule) is group.rule and MEMORIES.get(memory) is group.memory
    if not known or roles_of(group.rule) is None or is_off() or not group.params or not group.slots:
        return None
    first, slots = group.params[0], group.slots[0]
    if first.dtype not in _KINDS or slots.dtype not in _KINDS:
        return None
    members = [i for i in range(len(group.params)) if _can_be_passed(group, i, first.dtype, slots.dtype)]
    if not members:
        return None
    kernel = loaded(Variant(rule, memory, first.dtype, slots.dtype))
    return NativePlan(kind, group, members, deferred, kernel) if kernel else NoPlan(kind, group)


def _can_be_passed(group: GroupTensors, i: int, dtype: torch.dtype, slots: torch.dtype) -> bool:
    """Whether a parameter and its state are on a CPU, of these types, and lie in memory without gaps and alike."""
    param, total, stack = group.params[i], group.totals[i], group.slots[i]
    if isinstance(param, FakeTensor) or param.device.type != "cpu" or memory_order(param) is None:
        return False
    state = list(group.state_of(i).values())
    alike = all(t.stride() == param.stride() for t in (*state, total)) and stack.stride()[1:] == param.stride()
    typed = all(t.dtype == dtype for t in (param, *state)) and stack.dtype == slots
    return alike and typed and total.dtype == torch.promote_types(dtype, torch.float32)


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
    with few_threads(CHUNK):
        return kernel if _is_right(kernel, variant) else "its result is wrong"


@cache
def _warn_once(problem: str) -> None:
    warnings.warn(f"fused=True: no native step, foreach is used instead ({problem})", stacklevel=2)


def is_available(rule: str, memory: str) -> bool:
    """Whether there is a native step for float32; compiles and tries it, and warns of nothing."""
    known = rule in RULES and roles_of(RULES[rule]) is not None and not is_off()
    return known and isinstance(_tried(Variant(rule, memory, torch.float32, torch.float32)), Kernel)


def _is_right(kernel: Kernel, variant: Variant) -> bool:
    """Whether the C function does to a sample what `plain` does, inserted before and after, and not at all."""
    rule, memory = RULES[variant.rule], MEMORIES[variant.memory]
    deferrals = (True, False) if memory.entry_stays_in else (False,)
    accepts = (True, False)
    tolerance = 1e-5 if {variant.dtype, variant.slots} <= {torch.float32, torch.float64} else 2e-2
    for deferred in deferrals:
        for accept in accepts:
            mine, reference = (_sample(rule, memory, variant) for _ in range(2))
            decision = Decision(torch.tensor(1, device="cpu"), torch.tensor(accept, device="cpu"))
            decisions = [decision] * len(mine.params)
            NativePlan((), mine, list(range(len(mine.params))), deferred, kernel).run(mine, decisions)
            _by_plain(reference, decisions, deferred)
            if not all(map(_agree(tolerance), _results(mine), _results(reference))):
                return False
    return True


def _agree(tolerance: float) -> Callable[[Tensor, Tensor], bool]:
    return lambda a, b: torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance)


def _by_plain(group: GroupTensors, decisions: list[Decision], deferred: bool) -> None:
    if deferred:
        entries = group.state[group.memory.entry_stays_in or ""]
        for each in zip(group.slots, group.totals, entries, decisions, strict=True):
            replace(*each)
    torch._foreach_add_(group.steps, 1)
    Implementation().update(group, None if deferred else decisions)


def _results(group: GroupTensors) -> list[Tensor]:
    state = (tensor for tensors in group.state.values() for tensor in tensors)
    return [*group.params, *group.totals, *group.slots, *state]


def _sample(rule: Rule, memory: Memory, variant: Variant) -> GroupTensors:
    """Two parameters of odd lengths, one of them longer than a chunk, with everything that can be switched on."""
    generator = torch.Generator("cpu").manual_seed(0)
    hyperparameters = {each.name: each.default for each in (*rule.hyperparameters, *memory.hyperparameters)}
    group = hyperparameters | {"weight_decay": 0.1, "momentum": 0.9, "maximize": True}
    wide = torch.promote_types(variant.dtype, torch.float32)

    def some(*leading: int, dtype: torch.dtype = variant.dtype) -> list[Tensor]:
        sizes = (CHUNK + 37, 3)
        return [torch.rand((*leading, n), generator=generator, device="cpu").add_(0.1).to(dtype) for n in sizes]

    slots = some(3, dtype=variant.slots)
    sample = GroupTensors(rule, memory, group, params=some(), gradients=some(), slots=slots)
    sample.owners = sample.params
    sample.state = {name: some() for name in memory.state(rule, group)}
    sample.totals = [stack.sum(0, dtype=wide) for stack in slots]
    sample.steps = [torch.tensor(4.0, dtype=wide, device="cpu") for _ in slots]
    sample.scales = [torch.tensor(1 / 3, dtype=wide, device="cpu")] * len(slots)
    return sample
