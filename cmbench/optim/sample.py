"""Whether a plan does to a sample what `plain` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from cmbench.optim.addressed import AddressedPlan, Variant
from cmbench.optim.buffer import Decision, replace
from cmbench.optim.implementations import Implementation
from cmbench.optim.judge import Judge
from cmbench.optim.memories import MEMORIES
from cmbench.optim.rules import RULES
from cmbench.optim.update import GroupTensors

Make = Callable[[GroupTensors, bool], AddressedPlan]
"""Makes a plan for a group; the flag says whether it defers."""


def is_right(make: Make, variant: Variant, device: torch.device, chunk: int) -> bool:
    """Whether plans do to a sample what `plain` does, with the entry inserted before and after, and not at all.

    `chunk` elements are what they take at once.
    """
    tolerance = 1e-5 if {variant.dtype, variant.slots} <= {torch.float32, torch.float64} else 2e-2
    deferrals = (True, False) if MEMORIES[variant.memory].entry_stays_in else (False,)
    return all(
        torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance)
        for deferred, accept, momentum in product(deferrals, (True, False), (0.9, 0.0))
        for a, b in _pairs(make, [_sample(variant, momentum, device, chunk) for _ in range(2)], deferred, accept)
    )


def _pairs(
    make: Make, samples: Sequence[GroupTensors], deferred: bool, accept: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """What a step by a plan finds and leaves of the first sample, each beside what `plain` does of the second."""
    mine, reference = samples
    device = mine.params[0].device
    decision = Decision(torch.tensor(1, device=device), torch.tensor(accept, device=device))
    decisions, plan = [decision] * len(mine.params), make(mine, deferred)
    for priority in ("momentum", "gradient"):
        judge = Judge(priority, 1.0, "per_tensor")
        expected = torch.stack(judge.norms([reference]))
        yield plan.norms(mine, judge), expected
    norms = plan.run(mine, decisions)
    if norms is not None:
        yield norms, expected
    _by_plain(reference, decisions, deferred)
    yield from zip(_results(mine), _results(reference), strict=True)


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
