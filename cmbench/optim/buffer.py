"""The critical buffer: which of the past gradients or momenta are kept, and what is added back of them.

All of it is decided where the tensors are: nothing here reads a value back to Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RESUM_EVERY = 256
"""Steps after which the running sum of the slots is computed anew: what rounding leaves in it grows until then."""

_OLDEST = 2**62


@dataclass(frozen=True)
class Ranking:
    """What decides which entry goes: one column per independent buffer.

    `priorities` (C,) or (C, lanes): decayed norms, −inf where a slot is empty. `ages`, same shape: steps since the
    entry was stored, huge where a slot is empty. `accepted` () or (lanes,): entries stored so far.
    """

    priorities: Tensor
    ages: Tensor
    accepted: Tensor

    @staticmethod
    def empty(capacity: int, lanes: int | None, dtype: torch.dtype, device: torch.device) -> Ranking:
        """A ranking of `capacity` empty slots, for each of `lanes` runs where it is given."""
        shape = (capacity,) if lanes is None else (capacity, lanes)
        return Ranking(
            torch.full(shape, -torch.inf, dtype=dtype, device=device),
            torch.full(shape, _OLDEST, dtype=torch.int64, device=device),
            torch.zeros(shape[1:], dtype=torch.int64, device=device),
        )

    @property
    def filled(self) -> Tensor:
        """Which slots hold an entry, in the shape of `priorities`."""
        return self.priorities > -torch.inf

    @property
    def scale(self) -> Tensor:
        """The factor that turns the sum of the entries into their mean, () or (lanes,); 1 while there is none."""
        return self.filled.sum(0).clamp(min=1).to(self.priorities.dtype).reciprocal()


@dataclass(frozen=True)
class Decision:
    """What becomes of a new entry, per buffer: `index` is the slot to replace, `accept` whether to; () or (lanes,)."""

    index: Tensor
    accept: Tensor

    def to(self, device: torch.device) -> Decision:
        """This decision on another device."""
        if device == self.index.device:
            return self
        return Decision(self.index.to(device, non_blocking=True), self.accept.to(device, non_blocking=True))


def decide(ranking: Ranking, norm: Tensor, priority: str, decay: float) -> Decision:
    """Ranks a new entry of priority `norm` and updates `ranking` in place: insertion first, then the decay of all.

    By `priority="random"` a number that was drawn stands in for the norm.

    An empty slot takes any entry; a full buffer replaces its lowest priority if `norm` is strictly greater, or, with
    `priority="fifo"`, always its oldest. A norm that is NaN or inf is never inserted. Source: Algorithm 1.
    """
    priorities, ages = ranking.priorities, ranking.ages
    index = ages.argmax(0) if priority == "fifo" else priorities.argmin(0)
    row = index.unsqueeze(0)
    lowest = priorities.gather(0, row)[0]
    accept = norm.isfinite()
    if priority != "fifo":
        accept = accept & (norm > lowest)
    priorities.scatter_(0, row, torch.where(accept, norm, lowest).unsqueeze(0)).mul_(decay)
    ages.scatter_(0, row, torch.where(accept, 0, ages.gather(0, row)[0]).unsqueeze(0)).add_(1)
    ranking.accepted.add_(accept)
    return Decision(index, accept)


def per_lane(value: Tensor, like: Tensor) -> Tensor:
    """`value` of shape () or (lanes,) shaped to broadcast against `like`, whose leading dimension is the lanes."""
    return value.reshape(value.shape + (1,) * (like.dim() - 1)) if value.dim() else value


def replace(slots: Tensor, total: Tensor, entry: Tensor, decision: Decision) -> None:
    """Stores `entry` where `decision` says so, and keeps `total` the sum of the slots.

    `slots` (C, *shape), `total` and `entry` (*shape). One slot is read and written, whichever it is.
    """
    if decision.index.dim():
        index = per_lane(decision.index, entry).expand(entry.shape).unsqueeze(0)
        old = slots.gather(0, index)[0]
        kept, change = selected(old, entry, per_lane(decision.accept, entry), total.dtype)
        slots.scatter_(0, index, kept.unsqueeze(0))
    else:
        row = decision.index.view(1)
        old = slots.index_select(0, row)[0]
        kept, change = selected(old, entry, decision.accept, total.dtype)
        slots.index_copy_(0, row, kept.unsqueeze(0))
    total.add_(change)


def selected(old: Tensor, entry: Tensor, accept: Tensor, wide: torch.dtype) -> tuple[Tensor, Tensor]:
    """What a slot that held `old` holds when it was offered `entry`, and by how much that changes the sum."""
    # Select, don't multiply: 0 · (inf − old) would be NaN.
    kept = torch.where(accept, entry.to(old.dtype), old)
    return kept, kept.to(wide) - old.to(wide)


def resum(slots: Sequence[Tensor], totals: Sequence[Tensor]) -> None:
    """Computes every running sum anew from its slots."""
    for stack, total in zip(slots, totals, strict=True):
        total.copy_(stack.sum(0, dtype=total.dtype))


def norms(tensors: Sequence[Tensor], scope: str) -> list[Tensor]:
    """The L2 norm of each scope, at least in float32: `[()]` for global, one () per tensor, or `[(lanes,)]`.

    Tensors on several devices are combined on the first one's.
    """
    if scope == "lane":
        parts = [torch.linalg.vector_norm(t.flatten(1) if t.dim() > 1 else t.unsqueeze(1), dim=1) for t in tensors]
    else:
        parts = _norm_of_each(tensors)
    return parts if scope == "per_tensor" or len(parts) == 1 else [combined(parts)]


def _norm_of_each(tensors: Sequence[Tensor]) -> list[Tensor]:
    by_kind: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for i, tensor in enumerate(tensors):
        by_kind.setdefault((tensor.device, tensor.dtype), []).append(i)
    parts: list[Tensor] = list(tensors)
    for (device, dtype), members in by_kind.items():
        wide = torch.promote_types(dtype, torch.float32)
        own = [tensors[i] for i in members]
        if device.type == "cpu" and dtype == wide and not torch.compiler.is_compiling():
            # Half the time of torch's norm, which runs on one core.
            vectors = [t.reshape(-1) for t in own]
            found = torch._foreach_sqrt([torch.dot(v, v) for v in vectors])
        else:
            found = torch._foreach_norm(own, 2, wide)
        for i, norm in zip(members, found, strict=True):
            parts[i] = norm
    return parts


def combined(parts: Sequence[Tensor]) -> Tensor:
    """The norm of the whole from the norms of its parts, each () or (lanes,), on the first one's device."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack([part.to(parts[0].device) for part in parts]), dim=0)
    return norm
