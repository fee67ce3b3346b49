"""Whether a plan does to a sample what `plain` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from cmbench.optim.addressed import AddressedPlan, Variant
from cmbench.optim.buffer import Decision, Ranking, replace
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
    deferrals = (True, False) if MEMORIES[variant.memory].entry_stays_in else (False,)
    return all(
        _agree(variant, a, b)
        for deferred, accept, momentum in product(deferrals, (True, False), (0.9, 0.0))
        for a, b in _pairs(make, [_sample(variant, momentum, device, chunk) for _ in range(2)], deferred, accept)
    )


def is_right_for_lanes(run: Callable[[GroupTensors, Judge], None], variant: Variant) -> bool:
    """Whether `run`, a step, does to lanes of every kind what `plain` does: with room in their buffers, with none, with
    a gradient whose norm is above all or below all, and with one that is NaN.
    """
    for priority, momentum in product(("gradient", "momentum", "fifo"), (0.9, 0.0)):
        judge = Judge(priority, 0.7, "lane")
        mine, reference = (_sample_of_lanes(variant, momentum) for _ in range(2))
        run(mine, judge)
        reference.scales = reference.means()
        Implementation().step([reference], judge)
        both = zip(_results(mine) + _rows(mine), _results(reference) + _rows(reference), strict=True)
        if not all(_agree(variant, a, b) for a, b in both):
            return False
    return True


def _agree(variant: Variant, a: Tensor, b: Tensor) -> bool:
    tolerance = 1e-5 if {variant.dtype, variant.slots} <= {torch.float32, torch.float64} else 2e-2
    return torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance, equal_nan=variant.lanewise)


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


def _rows(group: GroupTensors) -> list[Tensor]:
    ranking = group.rankings[0]
    return [ranking.priorities, ranking.ages, ranking.accepted]


def _sample(variant: Variant, momentum: float, device: torch.device, chunk: int) -> GroupTensors:
    """Parameters of a chunk, of more and of less."""
    sample = _filled(variant, {"momentum": momentum}, device, [(chunk,), (chunk + 37,), (3,)])
    sample.scales = [torch.tensor(1 / 3, dtype=sample.totals[0].dtype, device=device)] * len(sample.slots)
    return sample


def _sample_of_lanes(variant: Variant, momentum: float) -> GroupTensors:
    lanes, device = 37, torch.device("cpu")
    sample = _filled(variant, {"momentum": momentum, "scope": "lane"}, device, [(lanes, 3)])
    ranking = Ranking.empty(3, lanes, sample.totals[0].dtype, device)
    row = torch.arange(lanes, device=device)
    for c in range(3):
        has = row % 4 > c
        ranking.priorities[c, has] = (1 + (row[has] + c) % 3).to(ranking.priorities) / 2
        ranking.ages[c, has] = 1 + (row[has] * 2 + c) % 3
    sample.rankings = [ranking]
    sample.gradients[0][::5] = torch.nan
    sample.gradients[0][1::5] *= 10
    return sample


def _filled(
    variant: Variant, chosen: dict[str, object], device: torch.device, shapes: Sequence[tuple[int, ...]]
) -> GroupTensors:
    """Parameters of these shapes, each with three entries in its buffer, and everything on that can be switched on."""
    rule, memory = RULES[variant.rule], MEMORIES[variant.memory]
    generator = torch.Generator("cpu").manual_seed(0)
    hyperparameters = {each.name: each.default for each in (*rule.hyperparameters, *memory.hyperparameters)}
    group = hyperparameters | {"weight_decay": 0.1, "maximize": True} | chosen
    wide = torch.promote_types(variant.dtype, torch.float32)

    def some(*leading: int, dtype: torch.dtype = variant.dtype) -> list[Tensor]:
        drawn = [torch.rand((*leading, *shape), generator=generator, device="cpu") for shape in shapes]
        return [numbers.add_(0.1).to(device, dtype) for numbers in drawn]

    slots = some(3, dtype=variant.slots)
    sample = GroupTensors(rule, memory, group, params=some(), gradients=some(), slots=slots)
    sample.owners = sample.params
    sample.state = {name: some() for name in memory.state(rule, group)}
    sample.totals = [stack.sum(0, dtype=wide) for stack in slots]
    sample.steps = [torch.tensor(4.0, dtype=wide, device=device) for _ in slots]
    return sample
