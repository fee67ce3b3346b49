"""The critical buffer: which of the past gradients or momenta are kept, and what is added back of them.

All of it is decided where the tensors are: nothing here reads a value back to Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_OLDEST = 2**62


@dataclass(frozen=True)
class Ranking:
    """What decides which entry goes: one column per independent buffer.

    `priorities` (C,) or (C, lanes): decayed norms, −inf where a slot is empty. `ages`, same shape: steps since the
    entry was stored, huge where a slot is empty.
    """

    priorities: Tensor
    ages: Tensor

    @staticmethod
    def empty(capacity: int, lanes: int | None, dtype: torch.dtype, device: torch.device) -> Ranking:
        """A ranking of `capacity` empty slots, for each of `lanes` runs where it is given."""
        shape = (capacity,) if lanes is None else (capacity, lanes)
        return Ranking(
            torch.full(shape, -torch.inf, dtype=dtype, device=device),
            torch.full(shape, _OLDEST, dtype=torch.int64, device=device),
        )


@dataclass(frozen=True)
class Decision:
    """What one step does with the buffer; each tensor has shape () or (lanes,).

    `index` is the slot to replace, `accept` whether to, `scale` the factor that turns the sum of the entries, as they
    were before this step, into their mean (1 while there is none).
    """

    index: Tensor
    accept: Tensor
    scale: Tensor

    def to(self, device: torch.device) -> Decision:
        """This decision on another device."""
        if device == self.index.device:
            return self
        return Decision(*(t.to(device, non_blocking=True) for t in (self.index, self.accept, self.scale)))


def decide(ranking: Ranking, norm: Tensor, priority: str, decay: float) -> Decision:
    """Ranks a new entry of priority `norm` and updates `ranking` in place: insertion first, then the decay of all.

    An empty slot takes any entry; a full buffer replaces its lowest priority if `norm` is strictly greater, or, with
    `priority="fifo"`, always its oldest. A norm that is NaN or inf is never inserted. Source: Algorithm 1.
    """
    priorities, ages = ranking.priorities, ranking.ages
    scale = (priorities > -torch.inf).sum(0).clamp(min=1).to(priorities.dtype).reciprocal()
    index = ages.argmax(0) if priority == "fifo" else priorities.argmin(0)
    row = index.unsqueeze(0)
    lowest = priorities.gather(0, row)[0]
    accept = norm.isfinite()
    if priority != "fifo":
        accept = accept & (norm > lowest)
    priorities.scatter_(0, row, torch.where(accept, norm, lowest).unsqueeze(0)).mul_(decay)
    ages.scatter_(0, row, torch.where(accept, 0, ages.gather(0, row)[0]).unsqueeze(0)).add_(1)
    return Decision(index, accept, scale)


def per_lane(value: Tensor, like: Tensor) -> Tensor:
    """`value` of shape () or (lanes,) shaped to broadcast against `like`, whose leading dimension is the lanes."""
    return value.reshape(value.shape + (1,) * (like.dim() - 1)) if value.dim() else value


def replace(slots: Tensor, total: Tensor, entry: Tensor, decision: Decision) -> None:
    """Stores `entry` where `decision` says so, and keeps `total` the sum of the slots.

    `slots` (C, *shape), `total` and `entry` (*shape). One slot is read and written, whichever it is.
    """
    index = per_lane(decision.index, entry).expand(entry.shape).unsqueeze(0)
    old = slots.gather(0, index)[0]
    # Select, don't multiply: 0 · (inf − old) would be NaN.
    new = torch.where(per_lane(decision.accept, entry), entry.to(slots.dtype), old)
    slots.scatter_(0, index, new.unsqueeze(0))
    total.add_(new.to(total.dtype) - old.to(total.dtype))


def norms(tensors: Sequence[Tensor], scope: str) -> list[Tensor]:
    """The L2 norm of each scope, at least in float32: `[()]` for global, one () per tensor, or `[(lanes,)]`.

    Tensors on several devices are combined on the first one's.
    """
    if scope == "lane":
        parts = [torch.linalg.vector_norm(t.flatten(1) if t.dim() > 1 else t.unsqueeze(1), dim=1) for t in tensors]
    else:
        dtype = [torch.promote_types(t.dtype, torch.float32) for t in tensors]
        parts = [torch.linalg.vector_norm(t, dtype=d) for t, d in zip(tensors, dtype, strict=True)]
    if scope == "per_tensor":
        return parts
    if len(parts) == 1:
        return parts
    device = parts[0].device
    return [torch.linalg.vector_norm(torch.stack([part.to(device) for part in parts]), dim=0)]
