"""The update as one pass over the memory of many tensors: in C on a CPU, in Triton on a GPU, else by torch's compiler.

A pass reads and writes every number once, so the norm of the gradient, which decides about this step's entry, is known
only when it is over. Where the entry stays in the state until the next step, the next pass inserts it first of all;
where it does not, or where its own norm decides, the norm is taken beforehand, in a pass of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cmbench.optim.buffer import Decision, combined
from cmbench.optim.compiled import CompiledPlan
from cmbench.optim.foreach import Foreach
from cmbench.optim.judge import Judge
from cmbench.optim.plan import Plan
from cmbench.optim.trial import native_plan
from cmbench.optim.triton_plan import triton_plan
from cmbench.optim.update import GroupTensors


class Fused(Foreach):
    """Passes for what there are any for, `Foreach` for the rest and while torch's compiler traces."""

    def __init__(self) -> None:
        self.forget({})

    def forget(self, counts: Mapping[Tensor, float]) -> None:
        self._plans: dict[int, Plan] = {}
        # Parameters with the same value here have the same step count, which is not read back from the device for it:
        # at which of the steps made here they had their first, or at which count they were found; None where it was
        # left behind.
        self._started: dict[Tensor, tuple[str, float] | None] = {p: ("at", count) for p, count in counts.items()}
        self._steps = 0

    def settle(self) -> None:
        for plan in self._plans.values():
            plan.settle()

    def step(self, groups: Sequence[GroupTensors], judge: Judge | None) -> None:
        if judge is None or torch.compiler.is_compiling():
            self.settle()
            super().step(groups, judge)
            return
        if any(group.fresh for group in groups):
            self.settle()
            for group in groups:
                for owner in group.owners:
                    self._started.setdefault(owner, ("after", self._steps))
            super().step(groups, judge)
            self._steps += 1
            return
        # The norm of the gradient comes out of the pass itself where the pass need not know it.
        deferred = groups[0].memory.entry_stays_in is not None and not judge.needs_the_entry()
        plans = [self._plan(number, group, deferred, judge.scope) for number, group in enumerate(groups)]
        whole = judge.norm_scope(groups) == "global"
        values: list[Tensor] = []
        for group, plan in zip(groups, plans, strict=True):
            own = None
            if plan.leaders:
                own = plan.run(group, plan.awaiting) if deferred else plan.norms(group, judge)
            left = plan.rest if own is not None else list(range(len(group.params)))
            others = judge.norms([group.only(left)], "per_tensor") if left else []
            if whole:
                values += others if own is None else [*others, torch.linalg.vector_norm(own)]
            else:
                norms = dict(zip(left, others, strict=True))
                norms |= {} if own is None else zip(plan.leaders, own.unbind(), strict=True)
                values += (norms[i] for i in sorted(norms))
        decisions = judge.decide(groups, [combined(values)] if whole else values)
        for group, plan, made in zip(groups, plans, decisions, strict=True):
            of_units: list[Decision | None] = [made[i] for i in plan.leaders]
            if deferred:
                plan.hold(of_units)
            elif plan.leaders:
                plan.run(group, of_units)
            if plan.rest:
                rest = group.only(plan.rest)
                torch._foreach_add_(rest.steps, 1)
                self.update(rest, [made[i] for i in plan.rest])
        self._steps += 1

    def _plan(self, number: int, group: GroupTensors, deferred: bool, scope: str) -> Plan:
        """How the parameters of a group are updated: the plan of the step before, unless something has changed."""
        kind = (deferred, group.shrinkage is not None, tuple(group.state))
        plan = self._plans.get(number)
        if plan is not None and plan.fits(kind, group):
            return plan
        self.settle()
        if plan is not None:
            present = set(group.owners)
            for param in group.group["params"]:
                if param not in present:
                    self._started[param] = None
        for owner in group.owners:
            self._started.setdefault(owner, ("after", self._steps))
        made = native_plan(kind, group, deferred) or triton_plan(kind, group, deferred)
        self._plans[number] = made or CompiledPlan(kind, group, deferred, scope, self._started)
        return self._plans[number]
