"""The plan of passes that torch's compiler makes, one for each large tensor, or for several small ones in one piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision
from cmbench.optim.passes import Pass, Variant, alias, compiled
from cmbench.optim.plan import Plan, column
from cmbench.optim.update import GroupTensors, memory_order

Ages = Mapping[Tensor, "tuple[str, float] | None"]
"""Parameters with the same value here have the same step count; None where it was left behind."""


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


class CompiledPlan(Plan):
    """Units that torch's compiler has passes for; small ones of one step count are packed, unless norms are apart."""

    def __init__(self, kind: tuple[object, ...], group: GroupTensors, deferred: bool, scope: str, ages: Ages) -> None:
        self._units, rest = _units(group, deferred, scope, ages)
        super().__init__(kind, group, [unit.members[0] for unit in self._units], rest)

    def buffers(self, unit: int) -> tuple[Tensor, Tensor, Tensor]:
        one = self._units[unit]
        return one.slots, one.total, one.state[self.stays_in or ""]

    def run(self, group: GroupTensors, decisions: Sequence[Decision | None]) -> Tensor | None:
        torch._foreach_add_([group.steps[i] for unit in self._units for i in unit.members], 1)
        steps = torch.stack([group.steps[i] for i in self.leaders])
        scales = torch.stack([group.scales[i] for i in self.leaders])
        shrinkage = 1.0 if group.shrinkage is None else group.shrinkage
        numbers = group.rule.numbers(group.group, steps)
        columns = [column(value, steps) for value in (group.renewal, scales, shrinkage, *numbers)]
        never = Decision(torch.zeros((), dtype=torch.int64, device=steps.device), torch.zeros_like(steps[0]).bool())
        squares: list[Tensor] = []
        for unit, decision, row in zip(self._units, decisions, torch.stack(columns, 1).unbind(), strict=True):
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
            if square is not None:
                squares.append(square)
        return torch.stack(squares).sqrt() if squares else None


def _smallest(device: torch.device) -> int:
    """Elements below which calling a pass costs more than copying parameter and gradient into a pack and back.

    A call takes some 30 µs, in which a CPU's memory moves a megabyte, a GPU's fifty.
    """
    return 1 << (15 if device.type == "cpu" else 20)


def _units(group: GroupTensors, deferred: bool, scope: str, ages: Ages) -> tuple[list[Unit], list[int]]:
    """The units of a group, and the positions of what no pass is for."""
    units: list[Unit] = []
    rest: list[int] = []
    packs: dict[tuple[object, ...], list[int]] = {}
    passes: dict[int, Pass] = {}
    may_pack = not group.sharded and scope != "per_tensor"
    for i, (owner, param) in enumerate(zip(group.owners, group.params, strict=True)):
        run, unit = _pass_for(group, i, deferred), None
        if run and param.numel() >= _smallest(param.device):
            unit = _single(i, group, run)
        elif run and may_pack and (age := ages[owner]) and param.is_contiguous() and param.numel():
            passes[i] = run
            packs.setdefault((age, id(run), param.device), []).append(i)
            continue
        if unit is None:
            rest.append(i)
        else:
            units.append(unit)
    return units + [_pack(members, group, passes[members[0]]) for members in packs.values()], rest


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
