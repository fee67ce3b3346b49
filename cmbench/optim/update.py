"""One step of any rule with any memory: what it works on, and its arithmetic, written once for all implementations."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from cmbench.optim.buffer import Decision, Ranking, replace
from cmbench.optim.memories import Memory
from cmbench.optim.rules import Rule
from cmbench.optim.stacks import Stacks


@dataclass
class GroupTensors:
    """The tensors of one parameter group in one step: parallel lists over the parameters that have a gradient.

    `gradients` are as they were computed, `grads` carry `sign`, in which `clipping` () is a factor, and, where the
    rule's weight decay is L2, that term. `state` holds a list for each name that memory and rule keep. `totals` are the
    sums of the buffers' entries, `slots` (C, *shape) the entries, `scales` () or (lanes,) turn sums into means; without
    a buffer they are empty. `owners` are the parameters as the user knows them (DTensors, where they are sharded),
    `records` what the optimizer keeps of each, its slots as views of `stacks`. `fresh` are the positions of parameters
    that only store their gradient in this step. The buffers of parameters without a gradient, `idle`, are pairs of sum
    and slots.
    """

    rule: Rule
    memory: Memory
    group: Mapping[str, Any]
    owners: list[Tensor] = field(default_factory=list)
    records: list[MutableMapping[str, Tensor]] = field(default_factory=list)
    params: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    steps: list[Tensor] = field(default_factory=list)
    state: dict[str, list[Tensor]] = field(default_factory=dict)
    totals: list[Tensor] = field(default_factory=list)
    slots: list[Tensor] = field(default_factory=list)
    scales: list[Tensor] = field(default_factory=list)
    rankings: list[Ranking] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    idle: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    sharded: bool = False
    stacks: Stacks = field(default_factory=Stacks)
    clipping: Tensor | None = None
    _grads: list[Tensor] | None = None

    @property
    def grads(self) -> list[Tensor]:
        """What the rule takes for the gradients, computed when it is first asked for."""
        if self._grads is None:
            self._grads, sign = self.gradients, self.sign
            if isinstance(sign, Tensor):
                self._grads = _scaled(self._grads, sign)
            elif sign < 0:
                self._grads = list(torch._foreach_neg(self._grads))
            if self.l2 != 0:
                self._grads = list(torch._foreach_add(self._grads, self.params, alpha=self.l2))
        return self._grads

    @property
    def sign(self) -> float | Tensor:
        """What `maximize` and clipping make of a gradient, as a factor."""
        sign = -1.0 if self.group["maximize"] else 1.0
        return sign if self.clipping is None else sign * self.clipping

    @property
    def l2(self) -> float:
        """What of the parameter is added to the gradient."""
        return 0.0 if self.rule.decoupled else float(self.group["weight_decay"])

    @property
    def renewal(self) -> float:
        """1 − β of the momentum that critical momenta remember."""
        return 1 - self.rule.beta(self.group)

    @property
    def shrinkage(self) -> Any:
        """1 − α·wd where weight decay is decoupled from the gradient; None where there is none of that."""
        decays = self.rule.decoupled and self.group["weight_decay"] != 0
        return 1 - self.group["lr"] * self.group["weight_decay"] if decays else None

    def means(self) -> list[Tensor]:
        """For each parameter what turns the sum of its buffer into a mean: one tensor for all on a device, unless each
        has a buffer of its own."""
        if not self.rankings or self.group["scope"] == "per_tensor":
            return [ranking.scale for ranking in self.rankings]
        scale = self.rankings[0].scale
        return [scale if scale.device == param.device else scale.to(param.device) for param in self.params]

    def state_of(self, i: int) -> dict[str, Tensor]:
        """The state of one parameter by name."""
        return {name: tensors[i] for name, tensors in self.state.items()}

    def only(self, members: Sequence[int]) -> GroupTensors:
        """The same for the parameters at these positions; there are none without a gradient among them."""

        def some(tensors: list[Any]) -> list[Any]:
            return [tensors[i] for i in members] if tensors else []

        return GroupTensors(
            self.rule, self.memory, self.group, some(self.owners), some(self.records), some(self.params),
            some(self.gradients), some(self.steps), {name: some(tensors) for name, tensors in self.state.items()},
            some(self.totals), some(self.slots), some(self.scales), some(self.rankings), sharded=self.sharded,
            stacks=self.stacks, clipping=self.clipping, _grads=None if self._grads is None else some(self._grads),
        )  # fmt: skip

    def begin(self, decisions: Sequence[Decision]) -> tuple[GroupTensors, list[Decision]]:
        """Stores the gradients of the `fresh` parameters; what is left to be updated, with its part of `decisions`.

        Decoupled weight decay is all else that such a first step does, as in the code of the paper's authors.
        """
        for i in self.fresh:
            if self.shrinkage is not None:
                self.params[i].mul_(self.shrinkage)
            replace(self.slots[i], self.totals[i], self.grads[i], decisions[i])
        rest = [i for i in range(len(self.params)) if i not in self.fresh]
        return self.only(rest), [decisions[i] for i in rest]


def advance(
    memory: Memory,
    rule: Rule,
    numbers: Any,
    renewal: Any,
    shrinkage: Any,
    param: Tensor,
    grad: Tensor,
    state: Mapping[str, Tensor],
    total: Tensor | None,
    scale: Any,
) -> Tensor:
    """One step in place, all but the insertion into the buffer; returns the entry that may be inserted.

    a = entry + mean of the buffer as it is (Eq. 6), or the entry alone without a buffer; then the rule's step. What a
    second moment observes is a, and without a buffer the gradient, as torch's classes do. `total` is the sum of the
    buffer's entries, and `scale` makes it their mean. Instead of tensors it takes `Many` of them as well.
    """
    entry = memory.entry(grad, state, renewal)
    aggregate = entry if total is None else total.mul(scale).add_(entry).type_as(grad)
    direction = memory.direction(rule, aggregate, state, numbers)
    if shrinkage is not None:
        param.mul_(shrinkage)
    rule.apply(param, direction, grad if total is None else aggregate, state, numbers)
    return entry


class Many:
    """Many tensors as if they were one: the methods of a tensor that `advance` uses, by torch's operations on lists.

    An operand is another `Many`, a number, or a tensor () for all.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)

    def add_(self, other: Any) -> Many:
        torch._foreach_add_(self.tensors, _operand(other))
        return self

    def mul_(self, other: Any) -> Many:
        torch._foreach_mul_(self.tensors, _operand(other))
        return self

    def sub_(self, other: Any) -> Many:
        torch._foreach_sub_(self.tensors, _operand(other))
        return self

    def lerp_(self, end: Any, weight: Any) -> Many:
        torch._foreach_lerp_(self.tensors, end.tensors, _operand(weight))
        return self

    def lerp(self, end: Any, weight: Any) -> Many:
        return Many(torch._foreach_lerp(self.tensors, end.tensors, _operand(weight)))

    def mul(self, other: Any) -> Many:
        return Many(torch._foreach_mul(self.tensors, _operand(other)))

    def div(self, other: Any) -> Many:
        return Many(torch._foreach_div(self.tensors, _operand(other)))

    def sqrt(self) -> Many:
        return Many(torch._foreach_sqrt(self.tensors))

    def square(self) -> Many:
        return Many(torch._foreach_mul(self.tensors, self.tensors))

    def nan_to_num_(self, nan: float, posinf: float) -> Many:
        for tensor in self.tensors:  # torch has none for lists
            tensor.nan_to_num_(nan, posinf)
        return self

    def type_as(self, other: Any) -> Many:
        return Many([t.type_as(o) for t, o in zip(self.tensors, other.tensors, strict=True)])


def _operand(value: Any) -> Any:
    return value.tensors if isinstance(value, Many) else value


def as_one(tensors: Sequence[Tensor]) -> Tensor:
    """`Many` of these, passed off as a tensor: the arithmetic asks for no more than it can do."""
    return cast(Tensor, Many(tensors))


def tensors_of(one: Tensor) -> list[Tensor]:
    """What `as_one` has passed off as a tensor."""
    return cast(Many, one).tensors


def _scaled(tensors: list[Tensor], factor: Tensor) -> list[Tensor]:
    """Each times a factor (), on whichever device each is, in its own type."""
    on = {device: factor.to(device, non_blocking=True) for device in {tensor.device for tensor in tensors}}
    if len(on) == 1:
        return list(torch._foreach_mul(tensors, *on.values()))
    return [tensor * on[tensor.device] for tensor in tensors]


def of_each(numbers: Any, count: int) -> list[Any]:
    """The rule's numbers for each of `count` tensors, out of those made for a vector of their steps (count,)."""
    columns = [value.unbind() if _is_vector(value) else [value] * count for value in numbers]
    return [type(numbers)(*row) for row in zip(*columns, strict=True)]


def of_all(numbers: Any) -> Any:
    """The rule's numbers for `Many` tensors, out of those made for a vector of their steps."""
    return type(numbers)(*(Many(value.unbind()) if _is_vector(value) else value for value in numbers))


def memory_order(tensor: Tensor) -> tuple[int, ...] | None:
    """The order of dimensions in which `tensor` lies in memory without gaps; None where it doesn't."""
    if tensor.is_contiguous():
        return tuple(range(tensor.dim()))
    strides = tensor.stride()
    order = tuple(sorted(range(tensor.dim()), key=strides.__getitem__, reverse=True))
    return order if tensor.permute(order).is_contiguous() else None


def _is_vector(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 1
