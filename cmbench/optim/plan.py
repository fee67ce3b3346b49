"""How the tensors of a parameter group are updated by one pass over their memory, for as long as they are the same."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision, replace
from cmbench.optim.judge import Judge
from cmbench.optim.update import GroupTensors


class Plan(ABC):
    """What a pass updates, in units with one decision each, and the positions of the `rest`, which it does not.

    A unit is known by the position of a member, its leader. `kind` is what the pass was made for. Where entries stay in
    the state `stays_in` until the next step, that step's pass stores them first of all: `awaiting` are the decisions
    about them, one per unit.
    """

    def __init__(self, kind: tuple[object, ...], group: GroupTensors, leaders: Sequence[int], rest: list[int]) -> None:
        self.leaders, self.rest = leaders, rest
        self.awaiting: list[Decision | None] = [None] * len(leaders)
        self.stays_in = group.memory.entry_stays_in
        self._kind, self._tensors = kind, _all_tensors(group)

    def fits(self, kind: tuple[object, ...], group: GroupTensors) -> bool:
        """Whether it was made for these very tensors, and for what is to be done with them now."""
        tensors = _all_tensors(group)
        if self._kind != kind or len(tensors) != len(self._tensors):
            return False
        return all(map(operator.is_, tensors, self._tensors)) or all(map(_is_same, tensors, self._tensors))

    @abstractmethod
    def run(self, group: GroupTensors, decisions: Sequence[Decision | None]) -> Tensor | None:
        """What `plain` does for the members of the units, with one decision for each: all but the ranking.

        Where passes defer, the decisions are those of the step before, None where there was none, and the norms of the
        units' gradients are returned, (units,).
        """

    def norms(self, group: GroupTensors, judge: Judge) -> Tensor | None:
        """The norms of what ranks the entries of this step, (units,); None where it leaves them to others."""
        return None

    @abstractmethod
    def buffers(self, unit: int) -> tuple[Tensor, Tensor, Tensor]:
        """Slots (C, …), their sum, and the state in which an entry stays, of one unit."""

    def hold(self, decisions: Sequence[Decision | None]) -> None:
        """Keeps the decisions about this step's entries for the next pass."""
        self.awaiting = list(decisions)

    def settle(self) -> None:
        """Stores the entries that await it."""
        for unit, decision in enumerate(self.awaiting):
            if decision is not None:
                slots, total, entry = self.buffers(unit)
                replace(slots, total, entry, decision)
        self.awaiting = [None] * len(self.awaiting)


class NoPlan(Plan):
    """Leaves all parameters to foreach."""

    def __init__(self, kind: tuple[object, ...], group: GroupTensors) -> None:
        super().__init__(kind, group, [], list(range(len(group.params))))

    def run(self, group: GroupTensors, decisions: Sequence[Decision | None]) -> Tensor | None:
        return None

    def buffers(self, unit: int) -> tuple[Tensor, Tensor, Tensor]:
        raise IndexError(unit)


def _all_tensors(group: GroupTensors) -> list[Tensor]:
    of_state = (tensor for tensors in group.state.values() for tensor in tensors)
    return [*group.owners, *of_state, *group.totals, *group.slots]


def _is_same(a: Tensor, b: Tensor) -> bool:
    # The local part of a DTensor is a new object every time.
    return a is b or (not isinstance(a, FakeTensor) and a.data_ptr() == b.data_ptr() != 0)


def column(value: Tensor | float, steps: Tensor) -> Tensor:
    """`value`, one for each of `steps` or the same for all; a number is written there, not copied from the host."""
    return value.to(steps).expand_as(steps) if isinstance(value, Tensor) else torch.full_like(steps, value)
