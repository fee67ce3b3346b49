"""The update, one tensor at a time: the readable reference that the faster implementations are tested against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from cmbench.optim.buffer import Decision, per_lane, replace


@dataclass
class Tensors:
    """The tensors of one parameter group that an update works on, in parallel lists.

    Lists of what an optimizer does not have stay empty. `grads` already carry the sign of `maximize` and, for the SGD
    rules, the L2 term. `slots` are (C, *shape); `scales` () or (lanes,) turn `totals` into means.
    """

    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    momenta: list[Tensor] = field(default_factory=list)
    squares: list[Tensor] = field(default_factory=list)
    totals: list[Tensor] = field(default_factory=list)
    slots: list[Tensor] = field(default_factory=list)
    scales: list[Tensor] = field(default_factory=list)
    steps: list[Tensor] = field(default_factory=list)

    def only(self, members: Sequence[int]) -> Tensors:
        """The tensors at these positions."""
        lists = {f.name: getattr(self, f.name) for f in fields(self)}
        return Tensors(**{name: [tensors[i] for i in members] if tensors else [] for name, tensors in lists.items()})


def memory_order(tensor: Tensor) -> tuple[int, ...] | None:
    """The order of dimensions in which `tensor` lies in memory without gaps; None where it doesn't."""
    if tensor.is_contiguous():
        return tuple(range(tensor.dim()))
    strides = tensor.stride()
    order = tuple(sorted(range(tensor.dim()), key=strides.__getitem__, reverse=True))
    return order if tensor.permute(order).is_contiguous() else None


@dataclass(frozen=True)
class Recipe:
    """What an update computes: the rule, the memory, and the hyperparameters of a parameter group."""

    rule: str
    memory: str
    momentum: float
    lr: float | Tensor
    beta2: float
    eps: float
    weight_decay: float

    @staticmethod
    def of(rule: str, memory: str, group: dict[str, Any]) -> Recipe:
        """The recipe of a parameter group."""
        if rule == "adam":
            momentum, beta2 = group["betas"]
            return Recipe(rule, memory, momentum, group["lr"], beta2, group["eps"], group["weight_decay"])
        return Recipe(rule, memory, group["momentum"], group["lr"], 0.0, 0.0, 0.0)

    def step_sizes(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """α/(1−β₁ᵗ) and 1/√(1−β₂ᵗ) after `steps` t (…): θ moves by the one times m / (√v times the other + ε)."""
        return self.lr / bias_correction(self.momentum, steps), bias_correction(self.beta2, steps).rsqrt()


def bias_correction(beta: float, step: Tensor) -> Tensor:
    """1 − βᵗ, computed as −expm1(t·log β): in float32 the direct form loses four digits at β = 0.9999, t = 1."""
    return -torch.expm1(step * (math.log(beta) if beta > 0 else -math.inf))


def update(tensors: Tensors, decisions: Sequence[Decision] | None, recipe: Recipe) -> None:
    """One step of the rule, in place: momenta, aggregation with the buffer as it was, insertion, parameters.

    The entry is the gradient (cg) or the momentum m ← β·m + (1−β)·g (cm, Eq. 4). With a = entry + mean of the buffer
    (Eq. 6) the direction is a for cm (Eq. 5, 7, 8), and the momentum of a for cg (Eq. 3, 10). `decisions` holds one
    decision per tensor, or is None when the capacity is 0: then the rule is torch's, whose second moment is that of
    the gradient.
    """
    memory, momentum = recipe.memory, recipe.momentum
    for i, (param, grad) in enumerate(zip(tensors.params, tensors.grads, strict=True)):
        entry = grad if memory == "cg" else tensors.momenta[i].lerp_(grad, 1 - momentum)
        aggregate = entry
        if decisions is not None:
            total = tensors.totals[i]
            aggregate = (entry + total * per_lane(tensors.scales[i], total)).to(param.dtype)
            replace(tensors.slots[i], total, entry, decisions[i])
        direction = aggregate
        if memory == "cg" and recipe.rule == "adam":
            direction = tensors.momenta[i].lerp_(aggregate, 1 - momentum)
        elif memory == "cg" and momentum > 0:
            direction = tensors.momenta[i].mul_(momentum).add_(aggregate)
        if recipe.rule == "adam":
            observed = grad if decisions is None else aggregate
            adam(param, direction, observed, tensors.squares[i], tensors.steps[i], recipe)
        else:
            tensors.steps[i].add_(1)
            param.sub_(direction * recipe.lr)


def adam(param: Tensor, direction: Tensor, observed: Tensor, square: Tensor, step: Tensor, recipe: Recipe) -> None:
    """θ ← (1 − α·wd)·θ − α·(d/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε), after v ← β₂·v + (1−β₂)·o² (Eq. 5 and 7)."""
    if recipe.weight_decay != 0:
        param.mul_(1 - recipe.lr * recipe.weight_decay)
    square.mul_(recipe.beta2).addcmul_(observed, observed, value=1 - recipe.beta2)
    step_size, root = recipe.step_sizes(step.add_(1))
    param.sub_(direction / (square.sqrt() * root + recipe.eps) * step_size)
