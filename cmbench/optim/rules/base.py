"""What a rule is: its hyperparameters, the state that it keeps, and the arithmetic of its step, all in one object."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cmbench.optim.hyperparameters import Hyperparameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Part:
    """A rule, a probe or a memory: what it is called, what it does, which hyperparameters it brings."""

    key: str
    title: str
    description: str
    hyperparameters: tuple[Hyperparameter, ...]


@dataclass(frozen=True)
class Rule(Part):
    """How a direction is turned into a step; it knows neither the memory that gives the direction nor the probe.

    The arithmetic is written once, in methods of tensors: the same code runs on one tensor, on a block of one, on
    `Many` tensors at once, and inside a compiled pass. Therefore it uses only methods that `Many` has and no operators,
    changes in place only the parameter and the state, and asks for no value. Each of its numbers is a Python number, or
    a tensor () that belongs to the tensor it works on.

    Alone, without memory and probe, the rule is the class `torch_class` of `torch.optim`. `decoupled` says whether
    weight decay shrinks the parameter by (1 − α·wd) before the step, as AdamW does; else it is part of the gradient
    (L2).
    """

    torch_class: ClassVar[str]
    decoupled: ClassVar[bool] = False
    native: ClassVar[Mapping[str, str] | None] = None
    """For a rule that native.c and triton_kernel.py know: the names in `state` of what they call `momentum` and
    `square`. Not inherited."""

    def beta(self, group: Mapping[str, Any]) -> float:
        """β of the momentum m ← β·m + (1−β)·g that critical momenta remember (Eq. 4)."""
        return float(group["momentum"])

    @abstractmethod
    def state(self, group: Mapping[str, Any], own_momentum: bool) -> tuple[str, ...]:
        """The tensors kept of every parameter, each of its shape and zero at first, by the names that torch gives them.

        Without `own_momentum` the direction comes from critical momenta, in place of a momentum of the rule.
        """

    @abstractmethod
    def numbers(self, group: Mapping[str, Any], step: Tensor) -> tuple[Any, ...]:
        """A named tuple of what the arithmetic needs of a parameter group; `step` (...) counts from 1."""

    def direction(self, gradient: Tensor, state: Mapping[str, Tensor], n: Any) -> Tensor:
        """The direction that the rule makes of a gradient with its own momentum; here the gradient itself."""
        return gradient

    @abstractmethod
    def apply(self, param: Tensor, direction: Tensor, observed: Tensor, state: Mapping[str, Tensor], n: Any) -> None:
        """Moves `param` along `direction`; a second moment is that of `observed`."""


def root_of_mean(squares: Tensor) -> Tensor:
    """√v of a mean of squares; one that has overflown stays infinite, as in torch's classes, where inf − inf is NaN.

    A gradient that is NaN makes the direction so.
    """
    return squares.nan_to_num_(math.inf, math.inf).sqrt()


def bias_correction(beta: float, step: Tensor) -> Tensor:
    """1 − βᵗ, computed as −expm1(t·log β): in float32 the direct form loses four digits at β = 0.9999, t = 1."""
    return (step * (math.log(beta) if beta > 0 else -math.inf)).expm1().neg()
