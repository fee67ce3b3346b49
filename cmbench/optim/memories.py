"""The memories: what the buffer keeps, and how its mean enters the step of any rule. Needs no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cmbench.optim.hyperparameters import BUFFER_DTYPE, CAPACITY, DECAY, FIRST_STEP, PRIORITY, SCOPE, Hyperparameter
from cmbench.optim.rules.base import Part, Rule

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Memory(Part):
    """What becomes an entry of the buffer, and what the rule gets in its place; written as the rules are."""

    hyperparameters: tuple[Hyperparameter, ...] = (CAPACITY, DECAY, PRIORITY, SCOPE, BUFFER_DTYPE)
    entry_stays_in: ClassVar[str | None] = None
    """The state in which the entry of a step is found until the next one; None where it is not kept."""

    @abstractmethod
    def state(self, rule: Rule, group: Mapping[str, Any]) -> tuple[str, ...]:
        """The tensors kept of every parameter besides the buffer: the memory's own, then the rule's."""

    @abstractmethod
    def entry(self, grad: Tensor, state: Mapping[str, Tensor], renewal: Any) -> Tensor:
        """What this step would store, and adds to the mean of what is stored; `renewal` is 1 − β (Eq. 4)."""

    @abstractmethod
    def foreseen(self, grad: Tensor, state: Mapping[str, Tensor], renewal: Any) -> Tensor:
        """What `entry` will return, without changing the state."""

    @abstractmethod
    def direction(self, rule: Rule, aggregate: Tensor, state: Mapping[str, Tensor], n: Any) -> Tensor:
        """The direction of the step from the aggregate: the entry plus the mean of the buffer (Eq. 6)."""


@dataclass(frozen=True)
class CriticalGradients(Memory):
    """Past gradients: the rule gets g plus their mean for its gradient.

    Source: Eq. 3 and 10; McRae et al. 2022.
    """

    key: str = "cg"
    title: str = "CG"
    description: str = "critical gradients"

    def state(self, rule: Rule, group: Mapping[str, Any]) -> tuple[str, ...]:
        return rule.state(group, own_momentum=True)

    def entry(self, grad: Tensor, state: Mapping[str, Tensor], renewal: Any) -> Tensor:
        return grad

    foreseen = entry

    def direction(self, rule: Rule, aggregate: Tensor, state: Mapping[str, Tensor], n: Any) -> Tensor:
        return rule.direction(aggregate, state, n)


@dataclass(frozen=True)
class CriticalMomenta(Memory):
    """Past momenta m ← β·m + (1−β)·g: the rule steps along m plus their mean, without a momentum of its own.

    Source: Eq. 4–8.
    """

    key: str = "cm"
    title: str = "CM"
    description: str = "critical momenta"
    hyperparameters: tuple[Hyperparameter, ...] = (*Memory.hyperparameters, FIRST_STEP)
    entry_stays_in = "exp_avg"

    def state(self, rule: Rule, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", *rule.state(group, own_momentum=False))

    def entry(self, grad: Tensor, state: Mapping[str, Tensor], renewal: Any) -> Tensor:
        return state["exp_avg"].lerp_(grad, renewal)

    def foreseen(self, grad: Tensor, state: Mapping[str, Tensor], renewal: Any) -> Tensor:
        return state["exp_avg"].lerp(grad, renewal)

    def direction(self, rule: Rule, aggregate: Tensor, state: Mapping[str, Tensor], n: Any) -> Tensor:
        return aggregate


MEMORIES: dict[str, Memory] = {memory.key: memory for memory in (CriticalGradients(), CriticalMomenta())}
