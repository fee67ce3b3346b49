"""The update, one tensor at a time: the readable reference that faster implementations are tested against.

An update has two halves, because the decision about the buffer needs every tensor's norm in between: `observe` makes
what may be remembered, `apply` adds the memory, stores, and moves the parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cmbench.optim.buffer import Decision, per_lane, replace


@dataclass
class Tensors:
    """The tensors of one parameter group, in parallel lists; those that an optimizer does not have stay empty.

    `grads` already carry the sign of `maximize` and, for the SGD rules, the L2 term. `slots` are (C, *shape).
    """

    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    momenta: list[Tensor] = field(default_factory=list)
    squares: list[Tensor] = field(default_factory=list)
    totals: list[Tensor] = field(default_factory=list)
    slots: list[Tensor] = field(default_factory=list)
    steps: list[Tensor] = field(default_factory=list)


def bias_correction(beta: float, step: Tensor) -> Tensor:
    """1 − βᵗ, computed as −expm1(t·log β): in float32 the direct form loses four digits at β = 0.9999, t = 1."""
    return -torch.expm1(step * (math.log(beta) if beta > 0 else -math.inf))


def observe(tensors: Tensors, memory: str, momentum: float) -> list[Tensor]:
    """What may be remembered of this step: the gradients (cg), or the momenta m ← β·m + (1−β)·g (cm, Eq. 4)."""
    if memory == "cg":
        return tensors.grads
    for average, grad in zip(tensors.momenta, tensors.grads, strict=True):
        average.lerp_(grad, 1 - momentum)
    return tensors.momenta


def apply(
    tensors: Tensors,
    entries: list[Tensor],
    decisions: list[Decision] | None,
    *,
    rule: str,
    memory: str,
    momentum: float,
    group: dict[str, Any],
) -> None:
    """Adds the buffer's mean, stores the new entries, and moves the parameters by the rule.

    With a = entry + mean of the buffer (Eq. 6) the direction is a for cm (Eq. 5, 7, 8), and the momentum of a for cg
    (Eq. 3, 10). `decisions` holds one decision per tensor, or is None when the capacity is 0: then the rule is torch's,
    whose second moment is that of the gradient.
    """
    for i, (param, entry) in enumerate(zip(tensors.params, entries, strict=True)):
        aggregate = entry
        if decisions is not None:
            decision = decisions[i].to(param.device)
            total = tensors.totals[i]
            aggregate = (entry + total * per_lane(decision.scale, total)).to(param.dtype)
            replace(tensors.slots[i], total, entry, decision)
        direction = aggregate
        if memory == "cg" and rule == "adam":
            direction = tensors.momenta[i].lerp_(aggregate, 1 - momentum)
        elif memory == "cg" and momentum > 0:
            direction = tensors.momenta[i].mul_(momentum).add_(aggregate)
        if rule == "adam":
            observed = tensors.grads[i] if decisions is None else aggregate
            adam(param, direction, observed, tensors.squares[i], tensors.steps[i], group)
        else:
            param.sub_(direction * group["lr"])


def adam(
    param: Tensor, direction: Tensor, observed: Tensor, square: Tensor, step: Tensor, group: dict[str, Any]
) -> None:
    """θ ← (1 − α·wd)·θ − α·(d/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε), after v ← β₂·v + (1−β₂)·o² (Eq. 5 and 7)."""
    lr, (beta1, beta2) = group["lr"], group["betas"]
    if group["weight_decay"] != 0:
        param.mul_(1 - lr * group["weight_decay"])
    step.add_(1)
    square.mul_(beta2).addcmul_(observed, observed, value=1 - beta2)
    denominator = (square.sqrt() / bias_correction(beta2, step).sqrt()).add_(group["eps"])
    param.sub_(direction / denominator * (lr / bias_correction(beta1, step)))
