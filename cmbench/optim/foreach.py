"""The update over many tensors at once: block by block of what the cache holds on a CPU, in whole lists elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cmbench.optim.buffer import Decision, per_lane, replace
from cmbench.optim.plain import Recipe, Tensors, memory_order

BLOCK = 1 << 18
"""Elements that are carried through the whole step before the next ones are: a dozen such arrays fit in a cache."""


def update(tensors: Tensors, decisions: Sequence[Decision] | None, recipe: Recipe) -> None:
    """What `plain.update` does."""
    by_device: dict[torch.device, list[int]] = {}
    for i, param in enumerate(tensors.params):
        by_device.setdefault(param.device, []).append(i)
    for device, members in by_device.items():
        part = tensors if len(by_device) == 1 else tensors.only(members)
        chosen = decisions and [decisions[i] for i in members]
        if device.type == "cpu" and not torch.compiler.is_compiling() and decisions and _uniform(part, chosen):
            _update_in_blocks(part, chosen[0], recipe)
        else:
            _update_lists(part, chosen, recipe)


def _update_lists(tensors: Tensors, decisions: Sequence[Decision] | None, recipe: Recipe) -> None:
    params, grads, momenta, momentum = tensors.params, tensors.grads, tensors.momenta, recipe.momentum
    entries = grads
    if recipe.memory == "cm":
        torch._foreach_lerp_(momenta, grads, 1 - momentum)
        entries = momenta
    aggregates = entries
    if decisions is not None:
        scales = [per_lane(scale, total) for scale, total in zip(tensors.scales, tensors.totals, strict=True)]
        if scales[0].dim() == 0 and all(scale is scales[0] for scale in scales):
            aggregates = torch._foreach_mul(tensors.totals, scales[0])
        else:
            aggregates = [total * scale for total, scale in zip(tensors.totals, scales, strict=True)]
        torch._foreach_add_(aggregates, entries)
        aggregates = [a.to(param.dtype) for a, param in zip(aggregates, params, strict=True)]
        for each in zip(tensors.slots, tensors.totals, entries, decisions, strict=True):
            replace(*each)
    directions = aggregates
    if recipe.memory == "cg" and recipe.rule == "adam":
        torch._foreach_lerp_(momenta, aggregates, 1 - momentum)
        directions = momenta
    elif recipe.memory == "cg" and momentum > 0:
        torch._foreach_mul_(momenta, momentum)
        torch._foreach_add_(momenta, aggregates)
        directions = momenta
    torch._foreach_add_(tensors.steps, 1)
    if recipe.rule == "sgd":
        torch._foreach_sub_(params, torch._foreach_mul(directions, recipe.lr))
        return
    observed = grads if decisions is None else aggregates
    torch._foreach_mul_(tensors.squares, recipe.beta2)
    torch._foreach_addcmul_(tensors.squares, observed, observed, 1 - recipe.beta2)
    step_sizes, roots = (t.unbind() for t in recipe.step_sizes(torch.stack(tensors.steps)))
    denominators = torch._foreach_sqrt(tensors.squares)
    torch._foreach_mul_(denominators, list(roots))
    torch._foreach_add_(denominators, recipe.eps)
    if recipe.weight_decay != 0:
        torch._foreach_mul_(params, 1 - recipe.lr * recipe.weight_decay)
    moves = torch._foreach_div(directions, denominators)
    torch._foreach_mul_(moves, list(step_sizes))
    torch._foreach_sub_(params, moves)


def _uniform(tensors: Tensors, decisions: Sequence[Decision]) -> bool:
    """Whether one decision about one buffer serves all tensors, which have one dtype, as have their sums."""
    dtypes = {t.dtype for t in (*tensors.params, *tensors.grads, *tensors.totals)}
    return decisions[0].index.dim() == 0 and len(dtypes) == 1 and all(d is decisions[0] for d in decisions)


def _update_in_blocks(tensors: Tensors, decision: Decision, recipe: Recipe) -> None:
    memory, momentum, dtype = recipe.memory, recipe.momentum, tensors.params[0].dtype
    torch._foreach_add_(tensors.steps, 1)
    step_sizes, roots = (t.unbind() for t in recipe.step_sizes(torch.stack(tensors.steps)))
    blocks = list(_blocks(tensors))
    # The same memory for every block: what it held is still in the cache, and no page of it is new.
    size = max(param.numel() for _, param, *_ in blocks)
    first, second = torch.empty(2, size, dtype=dtype)
    pairs = torch.empty(3 * size, dtype=tensors.slots[0].dtype)
    index, accept, scale = decision.index.view(1), decision.accept.long().view(1), tensors.scales[0]
    for i, param, grad, total, slots, average, square in blocks:
        n, shape = param.numel(), param.shape
        aggregate, work = first[:n].view(shape), second[:n].view(shape)
        pair, kept = pairs[: 2 * n].view(2, *shape), pairs[2 * n : 3 * n].view(1, *shape)
        entry = grad if memory == "cg" else average.lerp_(grad, 1 - momentum)
        torch.addcmul(entry, total, scale, out=aggregate)
        # Old entry and new one side by side, and the one to keep by number: a selection without a mask.
        torch.index_select(slots, 0, index, out=pair[:1])
        pair[1].copy_(entry)
        torch.index_select(pair, 0, accept, out=kept)
        slots.index_copy_(0, index, kept)
        # In the sum's precision, which may be more than the slots'.
        total.add_(torch.sub(kept[0], pair[0], out=work) if slots.dtype == dtype else work.copy_(kept[0]).sub_(pair[0]))
        direction = aggregate
        if memory == "cg" and recipe.rule == "adam":
            direction = average.lerp_(aggregate, 1 - momentum)
        elif memory == "cg" and momentum > 0:
            direction = average.mul_(momentum).add_(aggregate)
        if recipe.rule == "sgd":
            param.sub_(torch.mul(direction, recipe.lr, out=work))
            continue
        square.mul_(recipe.beta2).addcmul_(aggregate, aggregate, value=1 - recipe.beta2)
        torch.sqrt(square, out=work).mul_(roots[i]).add_(recipe.eps)
        torch.mul(direction, step_sizes[i], out=aggregate)
        if recipe.weight_decay != 0:
            param.mul_(1 - recipe.lr * recipe.weight_decay)
        param.addcdiv_(aggregate, work, value=-1)


def _blocks(tensors: Tensors) -> Iterator[tuple[int, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]]:
    """Position in the lists, parameter, gradient, sum, slots, momentum, square: whole, or the blocks of large ones."""
    nothing = [None] * len(tensors.params)
    rows = zip(
        tensors.params,
        tensors.grads,
        tensors.totals,
        tensors.slots,
        tensors.momenta or nothing,
        tensors.squares or nothing,
        strict=True,
    )
    for i, row in enumerate(rows):
        order = memory_order(row[0]) if row[0].numel() > BLOCK else None
        if order is None or any(t is not None and t.stride()[-len(order) :] != row[0].stride() for t in row):
            yield i, *row
            continue
        views = []
        for t in row:
            if t is not None:
                ahead = t.dim() - len(order)
                t = t.permute(*range(ahead), *(ahead + d for d in order)).flatten(ahead).split(BLOCK, -1)
            views.append(t)
        for k in range(len(views[0])):
            yield i, *(None if v is None else v[k] for v in views)
