"""Which buffers take the entry of a step: the norms by which entries are ranked, and one decision for each tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmbench.optim.buffer import Decision, decide, norms, replace
from cmbench.optim.draws import uniform
from cmbench.optim.sharded import norms_over_shards
from cmbench.optim.update import GroupTensors, as_one, tensors_of


@dataclass
class Judge:
    """The buffer policy that all parameter groups share, in one step.

    `step` () counts the steps before this one, where `priority` is random: it is what chance is a function of. `seen`
    are the norms that entries have been ranked by.
    """

    priority: str
    decay: float
    scope: str
    step: Tensor | None = None
    seen: Sequence[Tensor] = ()

    def needs_the_entry(self) -> bool:
        """Whether an entry is ranked by its own norm, so that it must be known beforehand."""
        return self.priority == "momentum"

    def norm_scope(self, groups: Sequence[GroupTensors]) -> str:
        """Over what norms are taken here: those of parts of a tensor are put together by `decide`."""
        return "per_tensor" if any(group.sharded for group in groups) else self.scope

    def norms(self, groups: Sequence[GroupTensors], scope: str | None = None) -> list[Tensor]:
        """The norms of what ranks this step's entries, as `decide` takes them, or by another `scope`."""
        ranked = [tensor for group in groups for tensor in self._ranked(group)]
        return norms(ranked, scope or self.norm_scope(groups))

    def _ranked(self, group: GroupTensors) -> Sequence[Tensor]:
        if not self.needs_the_entry() or not group.params:
            return group.grads
        state = {name: as_one(tensors) for name, tensors in group.state.items()}
        entries = tensors_of(group.memory.foreseen(as_one(group.grads), state, group.renewal))
        return [group.grads[i] if i in group.fresh else entry for i, entry in enumerate(entries)]

    def _drawn(self, values: Sequence[Tensor], step: Tensor) -> list[Tensor]:
        """A number in (0, 1) in place of every norm that is finite; tensors and lanes are numbered as they come."""
        if self.scope == "lane":
            return [torch.where(norm.isfinite(), uniform(step, norm.numel()).to(norm), norm) for norm in values]
        drawn = uniform(step, len(values)).unbind()
        return [torch.where(norm.isfinite(), number.to(norm), norm) for norm, number in zip(values, drawn, strict=True)]

    def decide(self, groups: Sequence[GroupTensors], values: Sequence[Tensor]) -> list[list[Decision]]:
        """One decision per tensor of each group (the same one everywhere, unless the scope is per_tensor).

        `values` are the norms of each tensor, or of all: of this process's part where parameters are sharded. Updates
        the rankings.
        """
        owners = [owner for group in groups for owner in group.owners]
        rankings = [ranking for group in groups for ranking in group.rankings]
        if any(group.sharded for group in groups):
            values = norms_over_shards(values, owners, self.scope)
        self.seen = values
        if self.step is not None:
            values = self._drawn(values, self.step)
        of_each = self.scope == "per_tensor"
        made = [
            decide(ranking, norm.to(ranking.priorities), self.priority, self.decay)
            for ranking, norm in zip(rankings, values, strict=of_each)
        ]
        if of_each:
            decisions = iter(made)
            return [[next(decisions) for _ in group.owners] for group in groups]
        for total, slots in (pair for group in groups for pair in group.idle):
            # A parameter without a gradient now is zero in the new entry: what it had in the replaced one goes.
            replace(slots, total, torch.zeros_like(total), made[0].to(total.device))
        on = {device: made[0].to(device) for device in {param.device for group in groups for param in group.params}}
        return [[on[param.device] for param in group.params] for group in groups]
