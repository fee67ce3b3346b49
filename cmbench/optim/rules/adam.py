"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cmbench.optim.hyperparameters import BETAS, EPS, LR, WEIGHT_DECAY, Hyperparameter
from cmbench.optim.rules.base import Rule, bias_correction, root_of_mean

if TYPE_CHECKING:
    from torch import Tensor


class Numbers(NamedTuple):
    """1 − β₁ and 1 − β₂, the bias-corrected step size α/(1−β₁ᵗ), 1/√(1−β₂ᵗ), and ε."""

    renewal: float
    observation: float
    step_size: Tensor
    root: Tensor
    eps: float


@dataclass(frozen=True)
class Adam(Rule):
    """v ← β₂·v + (1−β₂)·o²;  θ ← (1 − α·wd)·θ − α·(d/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε)

    for a direction d and what is observed, o; by itself both come from the gradient g: d = m ← β₁·m + (1−β₁)·g, o = g.
    Source: Kingma & Ba 2015; weight decay as in Loshchilov & Hutter 2019.
    """

    key: str = "adam"
    title: str = "Adam"
    description: str = "Adam with decoupled weight decay"
    hyperparameters: tuple[Hyperparameter, ...] = (LR, BETAS, EPS, WEIGHT_DECAY)
    torch_class = "AdamW"
    decoupled = True
    native: ClassVar = {"momentum": "exp_avg", "square": "exp_avg_sq"}

    def beta(self, group: Mapping[str, Any]) -> float:
        return float(group["betas"][0])

    def state(self, group: Mapping[str, Any], own_momentum: bool) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq") if own_momentum else ("exp_avg_sq",)

    def numbers(self, group: Mapping[str, Any], step: Tensor) -> Numbers:
        beta1, beta2 = group["betas"]
        step_size, root = group["lr"] / bias_correction(beta1, step), bias_correction(beta2, step).rsqrt()
        return Numbers(1 - beta1, 1 - beta2, step_size, root, group["eps"])

    def direction(self, gradient: Tensor, state: Mapping[str, Tensor], n: Numbers) -> Tensor:
        return state["exp_avg"].lerp_(gradient, n.renewal)

    def apply(
        self, param: Tensor, direction: Tensor, observed: Tensor, state: Mapping[str, Tensor], n: Numbers
    ) -> None:
        deviation = root_of_mean(state["exp_avg_sq"].lerp_(observed.square(), n.observation))
        param.sub_(direction.div(deviation.mul_(n.root).add_(n.eps)).mul_(n.step_size))
