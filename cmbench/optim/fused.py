"""The update as one compiled pass over each large tensor's memory, of any length: compiled once, whatever the shapes.

A pass reads and writes every number once, so the norm of the gradient, which decides about this step's entry, is known
only when it is over. Where the entry stays in the state until the next step, the next pass inserts it first of all;
where it does not, or where its own norm decides, the norm is taken beforehand, in a pass of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision, combined, replace
from cmbench.optim.foreach import Foreach
from cmbench.optim.judge import Judge
from cmbench.optim.passes import Pass, Variant, alias, compiled
from cmbench.optim.update import GroupTensors, memory_order


@dataclass(frozen=True)
class Unit:
    """What one pass runs over: a large tensor, or several small ones whose state is packed into one.

    `members` are positions in the lists of a parameter group. `state`, `total` (n,) and `slots` (C, n) are theirs, as
    vectors. `order` is that of a single tensor's dimensions in memory. `run` is the pass.
    """

    members: tuple[int, ...]
    state: dict[str, Tensor]
    total: Tensor
    slots: Tensor
    reads: Tensor
    order: tuple[int, ...] | None
    run: Pass

    def vector(self, tensors: Sequence[Tensor]) -> Tensor:
        """The members' `tensors` as one vector: of a single one a view, if it lies in memory like the parameter."""
        if self.order is None:
            return torch.cat([tensors[i].reshape(-1) for i in self.members])
        return tensors[self.members[0]].permute(self.order).reshape(-1)

    def spread(self, vector: Tensor, tensors: Sequence[Tensor]) -> None:
        """Writes back into the members' `tensors` what is not a view of them."""
        if self.order is None:
            own = [tensors[i] for i in self.members]
            parts = torch.split(vector, [t.numel() for t in own])
            torch._foreach_copy_(own, [part.view(t.shape) for part, t in zip(parts, own, strict=True)])


@dataclass
class Plan:
    """How the tensors of a group are updated as long as they are the same: in `units`, the `rest` by foreach.

    `kind` is what its passes were compiled for. `awaiting` are the decisions about entries that are not stored yet, one
    per unit; the entries themselves are in the state `stays_in`.
    """

    kind: tuple[object, ...]
    stays_in: str | None
    tensors: list[Tensor]
    units: list[Unit]
    rest: list[int]
    awaiting: list[Decision | None] = field(default_factory=list)

    def fits(self, kind: tuple[object, ...], tensors: Sequence[Tensor]) -> bool:
        """Whether it was made for these very tensors, and for what is to be done with them now."""
        same = self.kind == kind and len(tensors) == len(self.tensors)
        return same and all(map(_is_same, tensors, self.tensors))

    def settle(self) -> None:
        """Stores the entries that await it."""
        for unit, decision in zip(self.units, self.awaiting, strict=True):
            if decision is not None and self.stays_in is not None:
                replace(unit.slots, unit.total, unit.state[self.stays_in], decision)
        self.awaiting = [None] * len(self.units)


def _is_same(a: Tensor, b: Tensor) -> bool:
    # The local part of a DTensor is a new object every time.
    return a is b or (not isinstance(a, FakeTensor) and a.data_ptr() == b.data_ptr() != 0)


def _smallest(device: torch.device) -> int:
    """Elements below which calling a pass costs more than copying parameter and gradient into a pack and back.

    A call takes some 30 µs, in which a CPU's memory moves a megabyte, a GPU's fifty.
    """
    return 1 << (15 if device.type == "cpu" else 20)


class Fused(Foreach):
    """Compiled passes for what is large or can be packed, `Foreach` for the rest and while torch's compiler traces."""

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
        values: list[Tensor] = []
        for group, plan in zip(groups, plans, strict=True):
            norms: dict[int, Tensor] = {}
            left = plan.rest if deferred else list(range(len(group.params)))
            if deferred and plan.units:
                squares = _run(plan, group, plan.awaiting)
                roots = torch._foreach_sqrt([square for square in squares if square is not None])
                norms = dict(zip((unit.members[0] for unit in plan.units), roots, strict=True))
            if left:
                norms |= zip(left, judge.norms([group.only(left)], "per_tensor"), strict=True)
            values += (norms[i] for i in sorted(norms))
        whole = judge.norm_scope(groups) == "global"
        decisions = judge.decide(groups, [combined(values)] if whole else values)
        for group, plan, made in zip(groups, plans, decisions, strict=True):
            of_units: list[Decision | None] = [made[unit.members[0]] for unit in plan.units]
            if deferred:
                plan.awaiting = of_units
            elif plan.units:
                _run(plan, group, of_units)
            if plan.rest:
                rest = group.only(plan.rest)
                torch._foreach_add_(rest.steps, 1)
                self.update(rest, [made[i] for i in plan.rest])
        self._steps += 1

    def _plan(self, number: int, group: GroupTensors, deferred: bool, scope: str) -> Plan:
        """How the parameters of a group are updated: the plan of the step before, unless something has changed."""
        kind = (deferred, group.shrinkage is not None, tuple(group.state))
        plan = self._plans.get(number)
        if plan is not None and plan.fits(kind, _all_tensors(group)):
            return plan
        self.settle()
        if plan is not None:
            present = set(group.owners)
            for param in group.group["params"]:
                if param not in present:
                    self._started[param] = None
        units: list[Unit] = []
        rest: list[int] = []
        packs: dict[tuple[object, ...], list[int]] = {}
        passes: dict[int, Pass] = {}
        may_pack = not group.sharded and scope != "per_tensor"
        for i, (owner, param) in enumerate(zip(group.owners, group.params, strict=True)):
            run, unit = _pass_for(group, i, deferred), None
            started = self._started.setdefault(owner, ("after", self._steps))
            if run and param.numel() >= _smallest(param.device):
                unit = _single(i, group, run)
            elif run and may_pack and started and param.is_contiguous():
                passes[i] = run
                packs.setdefault((started, id(run), param.device), []).append(i)
                continue
            if unit is None:
                rest.append(i)
            else:
                units.append(unit)
        units += [_pack(members, group, passes[members[0]]) for members in packs.values()]
        stays_in = group.memory.entry_stays_in
        self._plans[number] = Plan(kind, stays_in, _all_tensors(group), units, rest, [None] * len(units))
        return self._plans[number]


def _all_tensors(group: GroupTensors) -> list[Tensor]:
    of_state = (tensor for tensors in group.state.values() for tensor in tensors)
    return [*group.owners, *of_state, *group.totals, *group.slots]


def _pass_for(group: GroupTensors, i: int, deferred: bool) -> Pass | None:
    """The pass for a parameter; None, after a warning, where there is no compiler for it.

    None as well for a single slot: what has the length one is no variable length to torch's compiler.
    """
    param, slots = group.params[i], group.slots[i]
    if len(slots) == 1:
        return None
    device = "fake" if isinstance(param, FakeTensor) else param.device.type
    decays = group.shrinkage is not None
    return compiled(
        Variant(group.rule, group.memory, tuple(group.state), decays, deferred, param.dtype, slots.dtype, device)
    )


def _single(i: int, group: GroupTensors, run: Pass) -> Unit | None:
    """The unit of one parameter alone; None where its tensors lie in memory with gaps or unlike each other."""
    order = memory_order(group.params[i])
    if order is None:
        return None
    vectors = {}
    for name, tensor in (group.state_of(i) | {"total": group.totals[i], "slots": group.slots[i]}).items():
        ahead = tensor.dim() - len(order)
        ordered = tensor.permute(*range(ahead), *(ahead + d for d in order))
        if not ordered.is_contiguous():
            return None
        vectors[name] = ordered.flatten(ahead) if order else ordered.unsqueeze(-1)
    total, slots = vectors.pop("total"), vectors.pop("slots")
    return Unit((i,), vectors, total, slots, alias(slots), order, run)


def _pack(members: Sequence[int], group: GroupTensors, run: Pass) -> Unit:
    """Moves the state of small parameters into tensors that hold it in one piece, of which theirs become views."""
    sizes = [group.params[i].numel() for i in members]

    def packed(own: list[Tensor], key: str) -> Tensor:
        whole = torch.cat([own[i].reshape(-1) for i in members])
        for i, piece in zip(members, torch.split(whole, sizes), strict=True):
            own[i] = group.records[i][key] = piece.view(group.params[i].shape)
        return whole

    stack = torch.cat([group.slots[i].reshape(len(group.slots[i]), -1) for i in members], 1)
    for i, slots in zip(members, torch.split(stack, sizes, 1), strict=True):
        group.slots[i] = slots.view(-1, *group.params[i].shape)
        group.stacks.show(group.owners[i], group.records[i], group.slots[i])
    state = {name: packed(own, name) for name, own in group.state.items()}
    return Unit(tuple(members), state, packed(group.totals, "buffer_sum"), stack, alias(stack), None, run)


def _run(plan: Plan, group: GroupTensors, decisions: Sequence[Decision | None]) -> list[Tensor | None]:
    """What `plain` does for the members of the units, with one decision for each: all but the ranking.

    Where the passes defer, the decisions are those of the step before, None where there was none.
    """
    units = plan.units
    torch._foreach_add_([group.steps[i] for unit in units for i in unit.members], 1)
    firsts = [unit.members[0] for unit in units]
    steps = torch.stack([group.steps[i] for i in firsts])
    scales = torch.stack([group.scales[i] for i in firsts])
    shrinkage = 1.0 if group.shrinkage is None else group.shrinkage
    numbers = group.rule.numbers(group.group, steps)
    columns = [_column(value, steps) for value in (group.renewal, scales, shrinkage, *numbers)]
    never = Decision(torch.zeros((), dtype=torch.int64, device=steps.device), torch.zeros_like(steps[0]).bool())
    found = []
    for unit, decision, row in zip(units, decisions, torch.stack(columns, 1).unbind(), strict=True):
        param, chosen = unit.vector(group.params), decision or never
        square = unit.run(
            params=param,
            grads=unit.vector(group.grads),
            totals=unit.total,
            slots=unit.slots,
            reads=unit.reads,
            index=chosen.index,
            accept=chosen.accept,
            coefficients=row,
            **unit.state,
        )
        unit.spread(param, group.params)
        found.append(square)
    return found


def _column(value: Tensor | float, steps: Tensor) -> Tensor:
    """`value`, one for each of `steps` or the same for all; a number is written there, not copied from the host."""
    return value.to(steps).expand_as(steps) if isinstance(value, Tensor) else torch.full_like(steps, value)
