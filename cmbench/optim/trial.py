"""Whether there is a native step: compiled for a rule, a memory and types of numbers, and tried on a sample."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision, Ranking, replace
from cmbench.optim.implementations import Implementation
from cmbench.optim.judge import Judge
from cmbench.optim.memories import MEMORIES, Memory
from cmbench.optim.native import CHUNK, Kernel, NativePlan, roles_of
from cmbench.optim.native_lanes import LanesPlan
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
    lanewise: bool = False

    @property
    def defines(self) -> tuple[str, ...]:
        """What the compiler is told."""
        kinds = f"PARAM={_KINDS[self.dtype]}", f"SLOT={_KINDS[self.slots]}", *(["LANEWISE=1"] if self.lanewise else [])
        return f"RULE={self.rule.upper()}", f"MEMORY={self.memory.upper()}", *kinds


def native_plan(kind: tuple[object, ...], group: GroupTensors, deferred: bool) -> Plan | None:
    """The plan for what of a group is on a CPU: nothing, where there is no compiler.

    None where there is no parameter on a CPU, where C does not know the rule, the memory or the types, and where the
    native step is switched off: there torch's compiler may do it.
    """
    rule, memory = group.rule.key, group.memory.key
    if not _is_known(group) or not group.params or not group.slots:
        return None
    first, slots = group.params[0], group.slots[0]
    if first.dtype not in _KINDS or slots.dtype not in _KINDS:
        return None
    members = [i for i in range(len(group.params)) if _can_be_passed(group, i, first.dtype, slots.dtype)]
    if not members:
        return None
    kernel = loaded(Variant(rule, memory, first.dtype, slots.dtype))
    return NativePlan(kind, group, members, deferred, kernel) if kernel else NoPlan(kind, group)


def kernel_for_lanes(group: GroupTensors) -> Kernel | None:
    """The C functions for lanes, where they are the rows of the only parameter, on a CPU, and C knows what to do."""
    param, stack = group.params[0], group.slots[0]
    if group.idle or group.sharded or not _is_known(group) or not param.numel() or not param.is_contiguous():
        return None
    if not {param.dtype, stack.dtype} <= _KINDS.keys() or not _can_be_passed(group, 0, param.dtype, stack.dtype):
        return None
    return loaded(Variant(group.rule.key, group.memory.key, param.dtype, stack.dtype, lanewise=True), "plain")


def _is_known(group: GroupTensors) -> bool:
    """Whether C knows the rule and the memory, and is not switched off."""
    rule, memory = group.rule, group.memory
    is_ours = RULES.get(rule.key) is rule and MEMORIES.get(memory.key) is memory
    return is_ours and roles_of(rule) is not None and not is_off()


def _can_be_passed(group: GroupTensors, i: int, dtype: torch.dtype, slots: torch.dtype) -> bool:
    """Whether a parameter and its state are on a CPU, of these types, and lie in memory without gaps and alike."""
    param, total, stack = group.params[i], group.totals[i], group.slots[i]
    if isinstance(param, FakeTensor) or param.device.type != "cpu" or memory_order(param) is None:
        return False
    state = list(group.state_of(i).values())
    alike = all(t.stride() == param.stride() for t in (*state, total)) and stack.stride()[1:] == param.stride()
    typed = all(t.dtype == dtype for t in (param, *state)) and stack.dtype == slots
    return alike and typed and total.dtype == torch.promote_types(dtype, torch.float32)


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
    with few_threads(CHUNK):
        return kernel if _is_right(kernel, variant) else "its result is wrong"


@cache
def _warn_once(problem: str, instead: str) -> None:
    warnings.warn(f"fused=True: no native step, {instead} is used instead ({problem})", stacklevel=2)


def is_available(rule: str, memory: str, *, lanewise: bool = False) -> bool:
    """Whether there is a native step for float32, or of lanes in float64; compiles, tries, and warns of nothing."""
    known = rule in RULES and roles_of(RULES[rule]) is not None and not is_off()
    dtype = torch.float64 if lanewise else torch.float32
    return known and isinstance(_tried(Variant(rule, memory, dtype, dtype, lanewise)), Kernel)


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
    return not variant.lanewise or all(_is_right_for_lanes(kernel, variant, tolerance, judged) for judged in _JUDGES)


_JUDGES = tuple(Judge(priority, 0.7, "lane") for priority in ("gradient", "momentum", "fifo"))


def _is_right_for_lanes(kernel: Kernel, variant: Variant, tolerance: float, judge: Judge) -> bool:
    """Whether it does to lanes of every kind what `plain` does: with room, without, and with a gradient that is NaN."""
    mine, reference = (_sample_of_lanes(RULES[variant.rule], MEMORIES[variant.memory], variant) for _ in range(2))
    LanesPlan(kernel, mine, judge).run(mine, judge)
    reference.scales = reference.means()
    Implementation().step([reference], judge)
    mine_and_its = zip(_results(mine) + _rows(mine), _results(reference) + _rows(reference), strict=True)
    return all(_agree(tolerance)(a, b) for a, b in mine_and_its)


def _agree(tolerance: float) -> Callable[[Tensor, Tensor], bool]:
    return lambda a, b: torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance, equal_nan=True)


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


def _filled(
    rule: Rule, memory: Memory, variant: Variant, shapes: Sequence[tuple[int, ...]], scope: str
) -> GroupTensors:
    """Parameters of these shapes, three entries in each one's buffer, and everything on that can be switched on."""
    generator = torch.Generator("cpu").manual_seed(0)
    hyperparameters = {each.name: each.default for each in (*rule.hyperparameters, *memory.hyperparameters)}
    group = hyperparameters | {"weight_decay": 0.1, "momentum": 0.9, "maximize": True, "scope": scope}
    wide = torch.promote_types(variant.dtype, torch.float32)

    def some(*leading: int, dtype: torch.dtype = variant.dtype) -> list[Tensor]:
        return [
            torch.rand((*leading, *shape), generator=generator, device="cpu").add_(0.1).to(dtype) for shape in shapes
        ]

    slots = some(3, dtype=variant.slots)
    sample = GroupTensors(rule, memory, group, params=some(), gradients=some(), slots=slots)
    sample.owners = sample.params
    sample.state = {name: some() for name in memory.state(rule, group)}
    sample.totals = [stack.sum(0, dtype=wide) for stack in slots]
    sample.steps = [torch.tensor(4.0, dtype=wide, device="cpu") for _ in slots]
    return sample


def _sample(rule: Rule, memory: Memory, variant: Variant) -> GroupTensors:
    """Two parameters of odd lengths, one of them longer than a chunk."""
    sample = _filled(rule, memory, variant, [(CHUNK + 37,), (3,)], "global")
    sample.scales = [torch.tensor(1 / 3, dtype=sample.totals[0].dtype, device="cpu")] * len(sample.slots)
    return sample


def _sample_of_lanes(rule: Rule, memory: Memory, variant: Variant) -> GroupTensors:
    """Lanes with room in their buffers, with none, with a gradient of a norm above all and below all, and with NaN."""
    lanes = 37
    sample = _filled(rule, memory, variant, [(lanes, 3)], "lane")
    ranking = Ranking.empty(3, lanes, sample.totals[0].dtype, torch.device("cpu"))
    row = torch.arange(lanes, device="cpu")
    for c in range(3):
        has = row % 4 > c
        ranking.priorities[c, has] = (1 + (row[has] + c) % 3).to(ranking.priorities) / 2
        ranking.ages[c, has] = 1 + (row[has] * 2 + c) % 3
    sample.rankings = [ranking]
    sample.gradients[0][::5] = torch.nan
    sample.gradients[0][1::5] *= 10
    return sample


def _rows(group: GroupTensors) -> list[Tensor]:
    ranking = group.rankings[0]
    return [ranking.priorities, ranking.ages, ranking.accepted]
