"""What a parameter that is spread over several processes (a DTensor, as FSDP2 makes them) needs to be updated."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from cmbench.optim.buffer import combined, norms

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor
    from typing_extensions import TypeIs


def is_sharded(tensor: Tensor) -> TypeIs[DTensor]:
    """Whether `tensor` is a DTensor; looks without importing what makes them."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def refuse_a_part(scope: str) -> None:
    """Raises `ValueError` where `ZeroRedundancyOptimizer` makes an optimizer whose norms are over many parameters.

    It hands each process some of the parameters, whole and with nothing to tell that there are more: the norm over all
    would silently be one over these, and each process decide by another. So who calls is looked at.
    """
    module = sys.modules.get("torch.distributed.optim.zero_redundancy_optimizer")
    if module is None or scope == "per_tensor":
        return
    code = module.ZeroRedundancyOptimizer._init_local_optimizer.__code__
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    if frame is not None and frame.f_locals["self"].world_size > 1:
        raise ValueError(
            f"invalid scope: {scope!r} (accepted under ZeroRedundancyOptimizer, where each process has some of the "
            "parameters and none has the norm over all: 'per_tensor'; FSDP2's fully_shard takes any)"
        )


def local(tensor: Tensor) -> Tensor:
    """This process's part, sharing its memory; the tensor itself when it is whole."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def like(part: Tensor, whole: Tensor) -> Tensor:
    """`part`, which belongs to this process, as a DTensor spread like `whole`; as it is when `whole` is no DTensor."""
    if not is_sharded(whole):
        return part
    return type(whole).from_local(
        part, whole.device_mesh, whole.placements, run_check=False, shape=whole.shape, stride=whole.stride()
    )


def whole_norms(parts: Sequence[Tensor], owners: Sequence[Tensor], scope: str) -> list[Tensor]:
    """The norms by `scope` of what `parts`, laid out as `owners`, are this process's parts of."""
    if not any(map(is_sharded, owners)):
        return norms(parts, scope)
    return norms_over_shards(norms(parts, "per_tensor"), owners, scope)


def norms_over_shards(parts: Sequence[Tensor], owners: Sequence[Tensor], scope: str) -> list[Tensor]:
    """The norms, per tensor or of all, from those of the local parts of `owners`; the same on every process."""
    if scope == "per_tensor":
        return [_norm_over_shards(part, owner) for part, owner in zip(parts, owners, strict=True)]
    alike: dict[object, list[int]] = {}
    for i, owner in enumerate(owners):
        key = (owner.device_mesh, owner.placements) if is_sharded(owner) else None
        alike.setdefault(key, []).append(i)
    return [combined([_norm_over_shards(combined([parts[i] for i in m]), owners[m[0]]) for m in alike.values()])]


def sum_over_shards(value: Tensor, owner: Tensor) -> Tensor:
    """The sum of what every process has computed from its shard of `owner`; the same on every process."""
    if not is_sharded(owner):
        return value
    from torch.distributed.tensor import DTensor, Partial, Replicate

    placements = [Partial("sum") if placement.is_shard() else Replicate() for placement in owner.placements]
    return DTensor.from_local(value, owner.device_mesh, placements, run_check=False).full_tensor()


def _norm_over_shards(norm: Tensor, owner: Tensor) -> Tensor:
    return sum_over_shards(norm.square(), owner).sqrt() if is_sharded(owner) else norm
