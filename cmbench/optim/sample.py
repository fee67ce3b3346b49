"""Whether a plan does to a sample what `plain` does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from cmbench.optim.addressed import Variant
from cmbench.optim.buffer import Decision, replace
from cmbench.optim.implementations import Implementation
from cmbench.optim.memories import MEMORIES
from cmbench.optim.plan import Plan
from cmbench.optim.rules import RULES
from cmbench.optim.update import GroupTensors


def is_right(plan_of: Callable[[GroupTensors, bool], Plan], variant: Variant, device: torch.device, chunk: int) -> bool:
    """Whether plans do to a sample what `plain` does, with the entry inserted before and after, and not at all.

    `plan_of` makes one for a group and for whether it defers; `chunk` elements are what it takes at once.
    """
    memory = MEMORIES[variant.memory]
    tolerance = 1e-5 if {variant.dtype, variant.slots} <= {torch.float32, torch.float64} else 2e-2
    deferrals = (True, False) if memory.entry_stays_in else (False,)
    for deferred, accept, momentum in product(deferrals, (True, False), (0.9, 0.0)):
        mine, reference = (_sample(variant, momentum, device, chunk) for _ in range(2))
        decision = Decision(torch.tensor(1, device=device), torch.tensor(accept, device=device))
        decisions = [decision] * len(mine.params)
        plan_of(mine, deferred).run(mine, decisions)
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


def _sample(variant: Variant, momentum: float, device: torch.device, chunk: int) -> GroupTensors:
    """Parameters of a chunk, of more and of less, with everything that can be switched on."""
    rule, memory = RULES[variant.rule], MEMORIES[variant.memory]
    generator = torch.Generator("cpu").manual_seed(0)
    hyperparameters = {each.name: each.default for each in (*rule.hyperparameters, *memory.hyperparameters)}
    group = hyperparameters | {"weight_decay": 0.1, "momentum": momentum, "maximize": True}
    wide = torch.promote_types(variant.dtype, torch.float32)

    def some(*leading: int, dtype: torch.dtype = variant.dtype) -> list[Tensor]:
        drawn = [torch.rand((*leading, n), generator=generator, device="cpu") for n in (chunk, chunk + 37, 3)]
        return [numbers.add_(0.1).to(device, dtype) for numbers in drawn]

    slots = some(3, dtype=variant.slots)
    sample = GroupTensors(rule, memory, group, params=some(), gradients=some(), slots=slots)
    sample.owners = sample.params
    sample.state = {name: some() for name in memory.state(rule, group)}
    sample.totals = [stack.sum(0, dtype=wide) for stack in slots]
    sample.steps = [torch.tensor(4.0, dtype=wide, device=device) for _ in slots]
    sample.scales = [torch.tensor(1 / 3, dtype=wide, device=device)] * len(slots)
    return sample
