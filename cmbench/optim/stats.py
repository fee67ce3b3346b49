"""What a critical buffer holds, in numbers: for a person who watches a training, not for the update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmbench.optim.buffer import Ranking
from cmbench.optim.sharded import sum_over_shards


@dataclass(frozen=True)
class BufferStats:
    """The state of the buffer, or, where each tensor or lane has its own, the mean over them.

    occupancy: entries in a buffer.
    accepted: entries that a buffer has stored since the last call.
    variance: mean over coordinates of the variance among the entries; NaN when there is none.
    agreement: mean cosine of the angle between the entry of the largest norm and the others, as the paper defines it
        for Figure 8; NaN where there are fewer than two entries.
    cosine_similarity: the same to the entry of the highest priority, which is decayed and need not be the largest.
    ages, priorities: of the entries of each buffer, in the order of the slots: steps since it was stored, and the norm
        by which it is ranked, decayed.
    """

    occupancy: float
    accepted: float
    variance: float
    agreement: float
    cosine_similarity: float
    ages: list[list[int]]
    priorities: list[list[float]]


def measure_buffer(
    rankings: Sequence[Ranking], stacks: Sequence[Tensor], owners: Sequence[Tensor], scope: str, accepted_before: float
) -> tuple[BufferStats, float]:
    """The stats, and the number of entries that a buffer has accepted in all, for the next call's `accepted_before`.

    `rankings`, `stacks` (C, *shape) and `owners` are parallel, one for each parameter.
    """
    pairs = zip(stacks, owners, strict=True)
    products = [sum_over_shards(_products(stack, scope == "lane"), owner) for stack, owner in pairs]
    sizes = [owner.numel() for owner in owners]
    if scope == "per_tensor":
        priorities, ages = ([getattr(r, name).tolist() for r in rankings] for name in ("priorities", "ages"))
        accepted = [float(r.accepted) for r in rankings]
    else:
        first = rankings[0]
        lanes = first.priorities.shape[1:]
        products = [torch.stack([p.to(first.priorities.device) for p in products]).sum(0)]
        if lanes:
            products, sizes = list(products[0]), [sum(sizes) // lanes[0]] * lanes[0]
        else:
            sizes = [sum(sizes)]
        columns = first.priorities.reshape(len(first.priorities), -1), first.ages.reshape(len(first.ages), -1)
        priorities, ages = (column.T.tolist() for column in columns)
        accepted = first.accepted.reshape(-1).double().tolist()
    filled = [[k for k, value in enumerate(buffer) if value > -math.inf] for buffer in priorities]
    spreads = [_spread(g, kept, ranks) for g, kept, ranks in zip(products, filled, priorities, strict=True)]
    total = sum(accepted) / len(accepted)
    stats = BufferStats(
        occupancy=sum(map(len, filled)) / len(filled),
        accepted=total - accepted_before,
        variance=_mean([variance / size for (variance, *_), size in zip(spreads, sizes, strict=True)]),
        agreement=_mean([agreement for _, agreement, _ in spreads]),
        cosine_similarity=_mean([cosine for *_, cosine in spreads]),
        ages=[[buffer[k] for k in kept] for buffer, kept in zip(ages, filled, strict=True)],
        priorities=[[buffer[k] for k in kept] for buffer, kept in zip(priorities, filled, strict=True)],
    )
    return stats, total


def _products(stack: Tensor, lanes: bool) -> Tensor:
    """The scalar products of every two slots, (C, C), or (lanes, C, C)."""
    wide = torch.promote_types(stack.dtype, torch.float32)
    if lanes:
        rows = stack.flatten(2).transpose(0, 1) if stack.dim() > 2 else stack.T.unsqueeze(-1)
    else:
        rows = stack.reshape(len(stack), -1)
    return rows.to(wide) @ rows.to(wide).mT


def _spread(products: Tensor, kept: list[int], ranks: list[float]) -> tuple[float, float, float]:
    """Sum over coordinates of the variance among the entries `kept`; the mean cosines of the largest, and of the first
    by rank, to the others.
    """
    if not kept:
        return math.nan, math.nan, math.nan
    g = products[kept][:, kept].double()
    variance = (g.diagonal().mean() - g.mean()).clamp(min=0).item()
    norms = g.diagonal().clamp(min=0).sqrt()
    cosines = g / torch.outer(norms, norms)
    largest, first = int(norms.argmax()), max(range(len(kept)), key=lambda k: ranks[kept[k]])
    to_others = [_mean([c for k, c in enumerate(cosines[one].tolist()) if k != one]) for one in (largest, first)]
    return variance, to_others[0], to_others[1]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
