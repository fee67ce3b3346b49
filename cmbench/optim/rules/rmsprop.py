"""RMSprop, with torch's momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cmbench.optim.hyperparameters import EPS, LR, MOMENTUM, WEIGHT_DECAY, Hyperparameter, as_float, is_rate
from cmbench.optim.rules.base import Rule, root_of_mean

if TYPE_CHECKING:
    from torch import Tensor

ALPHA = Hyperparameter("alpha", 0.99, "decay rate of the second moment", "a number in [0, 1)", is_rate, as_float)


class Numbers(NamedTuple):
    """Learning rate, 1 − `alpha`, ε, and decay rate of the momentum."""

    lr: float | Tensor
    observation: float
    eps: float
    momentum: float


@dataclass(frozen=True)
class RMSprop(Rule):
    """v ← a·v + (1−a)·o²;  θ ← θ − α·d/(√v + ε)

    for a direction d, what is observed, o, and a = `alpha`; by itself both are the gradient, and with momentum μ the
    quotient is added to a buffer, u ← μ·u + d/(√v + ε), θ ← θ − α·u.
    Source: Tieleman & Hinton 2012; `torch.optim.RMSprop`.
    """

    key: str = "rmsprop"
    title: str = "RMSprop"
    description: str = "the gradient over the root of its mean square"
    hyperparameters: tuple[Hyperparameter, ...] = (LR.with_default(1e-2), ALPHA, EPS, MOMENTUM, WEIGHT_DECAY)
    torch_class = "RMSprop"
    native: ClassVar = {"momentum": "momentum_buffer", "square": "square_avg"}

    def state(self, group: Mapping[str, Any], own_momentum: bool) -> tuple[str, ...]:
        return ("square_avg", "momentum_buffer") if own_momentum and group["momentum"] > 0 else ("square_avg",)

    def numbers(self, group: Mapping[str, Any], step: Tensor) -> Numbers:
        return Numbers(group["lr"], 1 - group["alpha"], group["eps"], group["momentum"])

    def apply(
        self, param: Tensor, direction: Tensor, observed: Tensor, state: Mapping[str, Tensor], n: Numbers
    ) -> None:
        deviation = root_of_mean(state["square_avg"].lerp_(observed.square(), n.observation))
        move = direction.div(deviation.add_(n.eps))
        if "momentum_buffer" in state:
            move = state["momentum_buffer"].mul_(n.momentum).add_(move)
        param.sub_(move.mul(n.lr))
