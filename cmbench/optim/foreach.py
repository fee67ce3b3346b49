"""The update over many tensors at once: block by block of what the cache holds on a CPU, in whole lists elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision, per_lane, replace
from cmbench.optim.implementations import Implementation
from cmbench.optim.update import GroupTensors, advance, as_one, memory_order, of_all, of_each, tensors_of

BLOCK = 1 << 18
"""Elements that are carried through the whole step before the next ones are: a dozen such arrays fit in a cache."""


class Foreach(Implementation):
    """What `plain` does, by torch's operations on lists, or in blocks."""

    def update(self, group: GroupTensors, decisions: list[Decision] | None) -> None:
        by_device: dict[torch.device, list[int]] = {}
        for i, param in enumerate(group.params):
            by_device.setdefault(param.device, []).append(i)
        for members in by_device.values():
            part = group if len(by_device) == 1 else group.only(members)
            chosen = None if decisions is None else [decisions[i] for i in members]
            if chosen and _is_at_hand(chosen[0]):
                _update_in_blocks(part, chosen)
            else:
                _update_lists(part, chosen)


def _is_at_hand(decision: Decision) -> bool:
    """Whether one that is the same for all of a tensor can be read without waiting for a device."""
    index = decision.index
    real = not torch.compiler.is_compiling() and not isinstance(index, FakeTensor)
    return real and index.device.type == "cpu" and index.dim() == 0


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
    if decisions is not None:
        for each in zip(group.slots, group.totals, tensors_of(entry), decisions, strict=True):
            replace(*each)


def _update_in_blocks(group: GroupTensors, decisions: Sequence[Decision]) -> None:
    numbers = of_each(group.rule.numbers(group.group, torch.stack(group.steps)), len(group.params))
    renewal, shrinkage = group.renewal, group.shrinkage
    chosen = [int(decision.index) if decision.accept else None for decision in decisions]
    for i, param, grad, total, slots, state in _blocks(group):
        entry = advance(
            group.memory, group.rule, numbers[i], renewal, shrinkage, param, grad, state, total, group.scales[i]
        )
        if (index := chosen[i]) is not None:
            _store(slots[index], total, entry)


def _store(slot: Tensor, total: Tensor, entry: Tensor) -> None:
    """`replace` where it is known that, and in which slot, an entry is stored."""
    kept = entry.to(slot.dtype)
    total.add_(kept.to(total.dtype) - slot.to(total.dtype))
    slot.copy_(kept)


Block = tuple[int, Tensor, Tensor, Tensor, Tensor, Mapping[str, Tensor]]


def _blocks(group: GroupTensors) -> Iterator[Block]:
    """Position in the lists, parameter, gradient, sum, slots and state: whole, or the blocks of large ones."""
    names = list(group.state)
    lists: list[list[Tensor]] = [group.params, group.grads, group.totals, group.slots, *group.state.values()]
    for i, row in enumerate(zip(*lists, strict=True)):
        order = memory_order(row[0]) if row[0].numel() > BLOCK else None
        if order is None or any(t.stride()[-len(order) :] != row[0].stride() for t in row):
            yield _block(i, row, names)
            continue
        views = []
        for t in row:
            ahead = t.dim() - len(order)
            views.append(t.permute(*range(ahead), *(ahead + d for d in order)).flatten(ahead).split(BLOCK, -1))
        for part in zip(*views, strict=True):
            yield _block(i, part, names)


def _block(i: int, row: Sequence[Any], names: Sequence[str]) -> Block:
    param, grad, total, slots, *state = row
    return i, param, grad, total, slots, dict(zip(names, state, strict=True))
