"""The update over many tensors at once: long ones in blocks that the cache holds on a CPU, others in lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision, per_lane, replace
from cmbench.optim.implementations import Implementation
from cmbench.optim.scratch import Scratch, inside
from cmbench.optim.update import GroupTensors, advance, as_one, memory_order, of_all, of_each, tensors_of

BLOCK = 1 << 18
"""Elements that are carried through the whole step before the next ones are: a dozen such arrays fit in a cache."""
SMALL = 1 << 14
"""Elements up to which the operations of a block would take longer to call than to carry out."""


class Foreach(Implementation):
    """What `plain` does, by torch's operations on lists, or in blocks."""

    def update(self, group: GroupTensors, decisions: list[Decision] | None) -> None:
        parts: dict[tuple[torch.device, bool], list[int]] = {}
        for i, param in enumerate(group.params):
            in_blocks = decisions is not None and _is_at_hand(decisions[i]) and _is_long(group, i)
            parts.setdefault((param.device, in_blocks), []).append(i)
        for (_, in_blocks), members in parts.items():
            part = group if len(parts) == 1 else group.only(members)
            chosen = None if decisions is None else [decisions[i] for i in members]
            if in_blocks and chosen:
                _update_in_blocks(part, chosen)
            else:
                _update_lists(part, chosen)


def _is_at_hand(decision: Decision) -> bool:
    """Whether one that is the same for all of a tensor can be read without waiting for a device."""
    index = decision.index
    real = not torch.compiler.is_compiling() and not isinstance(index, FakeTensor)
    return real and index.device.type == "cpu" and index.dim() == 0


def _is_long(group: GroupTensors, i: int) -> bool:
    """Whether a parameter has many elements, which lie in memory without gaps and alike in all its tensors."""
    param = group.params[i]
    if param.numel() <= SMALL or memory_order(param) is None:
        return False
    ahead, strides = group.slots[i].dim() - param.dim(), param.stride()
    alike = (group.grads[i], group.totals[i], *group.state_of(i).values())
    return all(t.stride() == strides for t in alike) and group.slots[i].stride()[ahead:] == strides


def _update_lists(group: GroupTensors, decisions: list[Decision] | None) -> None:
    total, scale = None, None
    if group.totals:
        total = as_one(group.totals)
        scales = [per_lane(scale, total) for scale, total in zip(group.scales, group.totals, strict=True)]
        scale = scales[0] if all(each is scales[0] for each in scales) and not scales[0].dim() else as_one(scales)
    entry = advance(
        group.memory,
        group.rule,
        of_all(group.rule.numbers(group.group, torch.stack(group.steps))),
        group.renewal,
        group.shrinkage,
        as_one(group.params),
        as_one(group.grads),
        {name: as_one(tensors) for name, tensors in group.state.items()},
        total,
        scale,
    )
    if decisions is None:
        return
    entries = tensors_of(entry)
    if not _is_at_hand(decisions[0]):
        for each in zip(group.slots, group.totals, entries, decisions, strict=True):
            replace(*each)
        return
    stored = [(i, decision.index) for i, decision in enumerate(decisions) if decision.accept]
    if stored:
        _store(
            [group.slots[i][int(index)] for i, index in stored],
            [group.totals[i] for i, _ in stored],
            [entries[i] for i, _ in stored],
        )


def _store(slots: list[Tensor], totals: list[Tensor], entries: list[Tensor]) -> None:
    """`replace` where it is known that, and in which slot, an entry is stored."""
    torch._foreach_sub_(totals, slots)
    torch._foreach_copy_(slots, entries)
    torch._foreach_add_(totals, slots)


def _update_in_blocks(group: GroupTensors, decisions: Sequence[Decision]) -> None:
    numbers = of_each(group.rule.numbers(group.group, torch.stack(group.steps)), len(group.params))
    renewal, shrinkage, names = group.renewal, group.shrinkage, tuple(group.state)
    scratch = Scratch(BLOCK)
    lists = [group.params, group.grads, group.totals, group.slots, *group.state.values()]
    for i, row in enumerate(zip(*lists, strict=True)):
        index = int(decisions[i].index) if decisions[i].accept else None
        for param, grad, total, slots, *state in zip(*map(_blocks, row, repeat(row[0])), strict=True):
            around = scratch.of(param.numel())
            entry = advance(
                group.memory,
                group.rule,
                numbers[i],
                renewal,
                shrinkage,
                around(param),
                around(grad),
                dict(zip(names, map(around, state), strict=True)),
                around(total),
                group.scales[i],
            )
            if index is not None:
                slot = slots[index]
                total.sub_(slot).add_(slot.copy_(inside(entry)))


def _blocks(tensor: Tensor, param: Tensor) -> Sequence[Tensor]:
    """The blocks (…, n) of a tensor (…, *shape) in the order in which the elements of `param` lie in memory."""
    order, ahead = memory_order(param) or (), tensor.dim() - param.dim()
    ordered = tensor.permute(*range(ahead), *(ahead + d for d in order))
    return torch.split(ordered.flatten(ahead), BLOCK, -1)
