"""The slots of a parameter's buffer: C entries in the optimizer's state, which are views of one tensor."""

from __future__ import annotations

from collections.abc import MutableMapping

import torch
from torch import Tensor

from cmbench.optim.sharded import like, local


class Stacks:
    """All slots of each parameter in one tensor (C, *shape), of which those in its state are views."""

    def __init__(self) -> None:
        self._known: dict[Tensor, tuple[Tensor, Tensor]] = {}

    def show(self, param: Tensor, record: MutableMapping[str, Tensor], stack: Tensor) -> None:
        """Makes the slots in `record`, the state of `param`, views of `stack`."""
        record.update({f"slot_{k}": like(slot, param) for k, slot in enumerate(stack)})
        self._known[param] = stack, record["slot_0"]

    def of(self, param: Tensor, record: MutableMapping[str, Tensor]) -> Tensor:
        """The stack of `param`, made anew where somebody has put other tensors into its state."""
        known = self._known.get(param)
        if known is None or known[1] is not record["slot_0"]:
            slots = [local(record[f"slot_{k}"]) for k in range(_count(record))]
            stack = zeros(local(record["buffer_sum"]), len(slots), slots[0].dtype)
            self.show(param, record, torch.stack(slots, out=stack))
        return self._known[param][0]


def _count(record: MutableMapping[str, Tensor]) -> int:
    return sum(key.startswith("slot_") for key in record)


def zeros(like: Tensor, capacity: int, dtype: torch.dtype) -> Tensor:
    """Zeros (capacity, *shape), each laid out in memory as `like` is."""
    if like.is_contiguous():
        return like.new_zeros((capacity, *like.shape), dtype=dtype)
    strides = (like.numel(), *like.stride())
    return like.new_empty_strided((capacity, *like.shape), strides, dtype=dtype).zero_()
