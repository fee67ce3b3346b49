"""Stochastic gradient descent, with torch's momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cmbench.optim.hyperparameters import LR, MOMENTUM, WEIGHT_DECAY, Hyperparameter
from cmbench.optim.rules.base import Rule

if TYPE_CHECKING:
    from torch import Tensor


class Numbers(NamedTuple):
    """Learning rate and decay rate of the momentum."""

    lr: float | Tensor
    momentum: float


@dataclass(frozen=True)
class SGD(Rule):
    """θ ← θ − α·d for a direction d: by itself the gradient g, or with momentum μ the buffer u ← μ·u + g.

    Source: `torch.optim.SGD`.
    """

    key: str = "sgd"
    title: str = "SGD"
    description: str = "stochastic gradient descent"
    hyperparameters: tuple[Hyperparameter, ...] = (LR, MOMENTUM, WEIGHT_DECAY)
    torch_class = "SGD"
    native: ClassVar = {"momentum": "momentum_buffer"}

    def state(self, group: Mapping[str, Any], own_momentum: bool) -> tuple[str, ...]:
        return ("momentum_buffer",) if own_momentum and group["momentum"] > 0 else ()

    def numbers(self, group: Mapping[str, Any], step: Tensor) -> Numbers:
        return Numbers(group["lr"], group["momentum"])

    def direction(self, gradient: Tensor, state: Mapping[str, Tensor], n: Numbers) -> Tensor:
        return state["momentum_buffer"].mul_(n.momentum).add_(gradient) if "momentum_buffer" in state else gradient

    def apply(
        self, param: Tensor, direction: Tensor, observed: Tensor, state: Mapping[str, Tensor], n: Numbers
    ) -> None:
        param.sub_(direction.mul(n.lr))
