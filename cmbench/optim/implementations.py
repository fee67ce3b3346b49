"""How a step is carried out: one interface for all ways, and the way that is read first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from cmbench.optim.buffer import Decision, per_lane, replace
from cmbench.optim.judge import Judge
from cmbench.optim.update import GroupTensors, advance, of_each


class Implementation:
    """Carries out steps; what it derives from an optimizer's state in doing so is its own, and made again when missing.

    This one, `plain`, updates one tensor after the other, and derives nothing: the reference for the others.
    """

    needs_scales: ClassVar[bool] = True
    """Whether what turns the sums of the buffers into means is made beforehand."""

    def step(self, groups: Sequence[GroupTensors], judge: Judge | None) -> None:
        """One step in place: momenta, aggregation with the buffer as it was, insertion, decay, parameters.

        `judge` decides about this step's entries; None where the capacity is 0.
        """
        decisions: Sequence[list[Decision] | None] = [None] * len(groups)
        if judge is not None:
            decisions = judge.decide(groups, judge.norms(groups))
        for group, made in zip(groups, decisions, strict=True):
            if group.params:
                torch._foreach_add_(group.steps, 1)
                if group.fresh and made is not None:
                    group, made = group.begin(made)
                if group.params:
                    self.update(group, made)

    def update(self, group: GroupTensors, decisions: list[Decision] | None) -> None:
        """The step of one group, whose `steps` count this one already; a decision per tensor, or None."""
        numbers = of_each(group.rule.numbers(group.group, torch.stack(group.steps)), len(group.params))
        renewal, shrinkage = group.renewal, group.shrinkage
        for i, (param, grad) in enumerate(zip(group.params, group.grads, strict=True)):
            total, scale = self._buffer_mean(group, i)
            entry = advance(
                group.memory, group.rule, numbers[i], renewal, shrinkage, param, grad, group.state_of(i), total, scale
            )
            if decisions is not None:
                replace(group.slots[i], group.totals[i], entry, decisions[i])

    @staticmethod
    def _buffer_mean(group: GroupTensors, i: int) -> tuple[Tensor | None, Any]:
        if not group.totals:
            return None, None
        return group.totals[i], per_lane(group.scales[i], group.totals[i])

    def settle(self) -> None:
        """Stores the entries that have been accepted and are held back."""

    def forget(self, counts: Mapping[Tensor, float]) -> None:
        """Drops what is derived from the state, which has been replaced; `counts` are the steps made, by parameter."""
