"""The order of a step of any rule with a memory; state, decisions and arithmetic are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cmbench.optim.buffer import RESUM_EVERY, Ranking, combined, resum
from cmbench.optim.judge import Judge
from cmbench.optim.memories import MEMORIES
from cmbench.optim.rules import RULES
from cmbench.optim.sharded import whole_norms
from cmbench.optim.state import BufferedOptimizer
from cmbench.optim.stats import BufferStats, measure_buffer
from cmbench.optim.update import GroupTensors


class CriticalOptimizer(BufferedOptimizer):
    """The step that AdamCM, AdamCG, SGDCM, SGDCG and their like have in common.

    With `clip_norm` every step is made with the gradient that `torch.nn.utils.clip_grad_norm_` would leave, without a
    pass to write it: g·min(1, clip_norm / (‖g‖ + 1e-6)), over all parameters. It is no part of the state.
    """

    clip_norm: float | None = None
    _norms: Sequence[Tensor] = ()

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One update; returns the closure's loss where there is one.

        The order: momenta, aggregation with the buffer as it was, insertion, decay of the priorities, second moment,
        parameters (Algorithm 1).
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        implementation = self._chosen_implementation()  # a new one drops what is derived from the state
        groups, self._norms = [self._collect(group) for group in self.param_groups], ()
        if not any(group.params for group in groups):
            return loss
        first = self.param_groups[0]
        judge = None
        if first["capacity"] > 0:
            # What carries out the step counts it before or after it decides.
            made = next(group.steps[0] for group in groups if group.params) if first["priority"] == "random" else None
            step = None if made is None else made.clone()
            judge = Judge(first["priority"], first["decay"], first["scope"], step)
        self._norms = self._clip(groups)
        implementation.step(groups, judge)
        if not self._norms and judge is not None and _ranks_gradients(groups, judge):
            self._norms = judge.seen
        for group, tensors in zip(self.param_groups, groups, strict=True):
            group["sum_age"] = (group["sum_age"] + 1) % RESUM_EVERY
            if group["sum_age"] == 0:
                resum(tensors.slots, tensors.totals)
        return loss

    def gradient_norm(self) -> Tensor | None:
        """‖g‖₂ () of the gradient that the last step was made with, where the step has computed it anyway.

        It has where there is a limit, and where entries are ranked by the norm of the gradient alone: by `priority`
        momentum they are not, nor with L2 weight decay, nor lane by lane.
        """
        return combined(self._norms) if self._norms else None

    def _clip(self, groups: Sequence[GroupTensors]) -> list[Tensor]:
        """Has the step made with a gradient that is no longer than `clip_norm`; its norm, where there is a limit."""
        if self.clip_norm is None:
            return []
        gradients = [gradient for group in groups for gradient in group.gradients]
        [norm] = whole_norms(gradients, [owner for group in groups for owner in group.owners], "global")
        factor = (self.clip_norm / (norm + 1e-6)).clamp(max=1.0)
        for group in groups:
            group.clipping = factor
        return [norm * factor]

    def _collect(self, group: dict[str, Any]) -> GroupTensors:
        """The tensors of the parameters that have a gradient, their state made where it is their first."""
        rule, memory = RULES[self.rule], MEMORIES[self.memory]
        found: list[Tensor] = []
        active, idle, sharded, fresh = self._init_group(group, found)
        made = GroupTensors(rule, memory, group, sharded=sharded, stacks=self._stacks)
        names = memory.state(rule, group)
        width = 4 + len(names) + (5 if group["capacity"] > 0 else 0)
        rest = found[active * width :]
        made.idle = list(zip(rest[::2], rest[1::2], strict=True)) if idle else []
        if not active:
            return made
        columns = [found[k : active * width : width] for k in range(width)]
        made.owners, made.params, made.gradients, made.steps, *columns = columns
        made.state = dict(zip(names, columns, strict=False))
        if not torch.compiler.is_compiling():
            made.records = [self.state[owner] for owner in made.owners]
            if fresh:
                made.fresh = [i for i, owner in enumerate(made.owners) if owner in self._fresh]
                self._fresh.difference_update(made.owners)
        elif fresh:
            raise RuntimeError("first_step='authors': the first step is not for torch.compile: make it without")
        if group["capacity"] > 0:
            made.totals, *ranking, made.slots = columns[len(names) :]
            if group["scope"] == "per_tensor":
                made.rankings = [Ranking(*each) for each in zip(*ranking, strict=True)]
            else:
                made.rankings = [Ranking(*(column[0] for column in ranking))] * active
            if self._implementation.needs_scales:
                made.scales = made.means()
        return made

    @torch.no_grad()
    def buffer_stats(self) -> BufferStats | None:
        """What the buffer holds now, and how often it has accepted an entry since the last call; None without one.

        Reads values back from the device: not for every step. Parameters without elements do not count.
        """
        self._settle()
        owners = [param for param, record in self._records() if "buffer_sum" in record and param.numel()]
        if not owners:
            return None
        stats, total = measure_buffer(
            [self._ranking(param) for param in owners],
            [self._stacks.of(param, self.state[param]) for param in owners],
            owners,
            self.param_groups[0]["scope"],
            self._accepted_before,
        )
        self._accepted_before = total
        return stats


def _ranks_gradients(groups: Sequence[GroupTensors], judge: Judge) -> bool:
    return not (judge.needs_the_entry() or judge.scope == "lane" or any(group.l2 != 0 for group in groups))
