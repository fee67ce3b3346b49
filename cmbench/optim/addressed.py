"""What the plans have in common that update many tensors by one call, and tell it the addresses of these."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision
from cmbench.optim.judge import Judge
from cmbench.optim.memories import MEMORIES
from cmbench.optim.plan import Plan
from cmbench.optim.rules import RULES, Rule
from cmbench.optim.update import GroupTensors, memory_order


def roles_of(rule: Rule) -> Mapping[str, str] | None:
    """The names of a rule's state by what they are for the one call; None for a rule that it does not know."""
    found: Mapping[str, str] | None = vars(type(rule)).get("native")
    return found


_KINDS = {torch.float32: "F32", torch.float64: "F64", torch.bfloat16: "BF16", torch.float16: "F16"}


@dataclass(frozen=True)
class Variant:
    """What the step is compiled for."""

    rule: str
    memory: str
    dtype: torch.dtype
    slots: torch.dtype
    lanewise: bool = False

    @property
    def defines(self) -> tuple[str, ...]:
        """What the compiler is told."""
        kinds = f"PARAM={_KINDS[self.dtype]}", f"SLOT={_KINDS[self.slots]}", *(["LANEWISE=1"] if self.lanewise else [])
        return f"RULE={self.rule.upper()}", f"MEMORY={self.memory.upper()}", *kinds


def passable(group: GroupTensors, device: torch.device) -> tuple[Variant, list[int]] | None:
    """The parameters of a group that can be passed by their addresses to one call on `device`, of one kind.

    None where there are none, and where rule, memory or types are not known there.
    """
    rule, memory = group.rule, group.memory
    known = RULES.get(rule.key) is rule and MEMORIES.get(memory.key) is memory and roles_of(rule) is not None
    here = [i for i, param in enumerate(group.params) if param.device == device and not isinstance(param, FakeTensor)]
    if not known or not here or not group.slots:
        return None
    variant = Variant(rule.key, memory.key, group.params[here[0]].dtype, group.slots[here[0]].dtype)
    if variant.dtype not in _KINDS or variant.slots not in _KINDS:
        return None
    members = [i for i in here if _is_alike(group, i, variant)]
    return (variant, members) if members else None


def _is_alike(group: GroupTensors, i: int, variant: Variant) -> bool:
    """Whether a parameter and its state are of these types, and lie in memory without gaps and alike."""
    param, total, stack = group.params[i], group.totals[i], group.slots[i]
    state = list(group.state_of(i).values())
    alike = all(t.stride() == param.stride() for t in (*state, total)) and stack.stride()[1:] == param.stride()
    typed = all(t.dtype == variant.dtype for t in (param, *state)) and stack.dtype == variant.slots
    dense = memory_order(param) is not None
    return alike and typed and dense and total.dtype == torch.promote_types(variant.dtype, torch.float32)


class AddressedPlan(Plan):
    """Units of one parameter each, all updated by one call.

    `is_before`: the entry that it stores is that of the step before. `rows` hold an address for each parameter, of
    itself, its entry, momentum, square and sum, 0 where there is no such state.
    """

    def __init__(self, kind: tuple[object, ...], group: GroupTensors, members: list[int], deferred: bool) -> None:
        own = set(members)
        super().__init__(kind, group, members, [i for i in range(len(group.params)) if i not in own])
        self.is_before = deferred
        entries = group.state.get(group.memory.entry_stays_in or "", group.params)
        self._buffers = [(group.slots[i], group.totals[i], entries[i]) for i in members]
        params = [group.params[i] for i in members]
        self._places = _places(group)
        self._layout = [(param.shape, param.stride()) for param in params]
        roles = roles_of(group.rule) or {}
        is_cm = group.memory.entry_stays_in is not None
        names = (group.memory.entry_stays_in, None if is_cm else roles.get("momentum"), roles.get("square"))
        kept = (group.params, *(group.state.get(name or "") for name in names), group.totals)
        self.rows = [[0 if row is None else row[i].data_ptr() for i in members] for row in kept]
        self.slots = [stack for stack, _, _ in self._buffers]
        self.sizes = [param.numel() for param in params]
        self._counts = Counts(members)

    def fits(self, kind: tuple[object, ...], group: GroupTensors) -> bool:
        # A tensor may be the same, and lie elsewhere since: `param.data = …`.
        return super().fits(kind, group) and _places(group) == self._places

    @abstractmethod
    def norms(self, group: GroupTensors, judge: Judge) -> Tensor: ...

    def buffers(self, unit: int) -> tuple[Tensor, Tensor, Tensor]:
        return self._buffers[unit]

    def _begun(self, group: GroupTensors) -> list[Tensor | float]:
        """Counts the step; what it needs beyond sign, L2 and renewal: scale and shrinkage, then the rule's numbers."""
        steps = self._counts.of(group)
        steps.add_(1)
        own = [group.scales[i] for i in self.leaders]
        scales = own[0] if all(map(operator.is_, own, repeat(own[0]))) else torch.stack(own)
        shrinkage = 1.0 if group.shrinkage is None else group.shrinkage
        return [scales, shrinkage, *group.rule.numbers(group.group, steps)]

    def _ended(self, group: GroupTensors) -> None:
        # What torch does where it changes a tensor itself, so that a graph that needs the old one says so.
        torch.autograd.graph.increment_version([group.params[i] for i in self.leaders])

    def _gradients(self, group: GroupTensors) -> list[Tensor]:
        """The gradients as they are, laid out in memory as their parameters."""
        found = []
        for i, (shape, strides) in zip(self.leaders, self._layout, strict=True):
            gradient = group.gradients[i]
            if gradient.stride() != strides or gradient.dtype != group.params[i].dtype:
                gradient = gradient.new_empty_strided(shape, strides, dtype=group.params[i].dtype).copy_(gradient)
            found.append(gradient)
        return found


def _places(group: GroupTensors) -> list[object]:
    """Where in memory, and in which order, everything lies that a plan has taken the addresses of."""
    of_state = (tensor for tensors in group.state.values() for tensor in tensors)
    every = (*group.params, *of_state, *group.totals, *group.slots)
    return [*(tensor.data_ptr() for tensor in every), *(param.stride() for param in group.params)]


def together(decisions: Sequence[Decision | None]) -> Decision | None:
    """One decision for all units: theirs where they share it, else (units,) of them; None where there is none."""
    first = decisions[0]
    if all(decision is first for decision in decisions):
        return first
    made = [decision for decision in decisions if decision is not None]
    if len(made) < len(decisions):
        raise RuntimeError("some units have a decision and others none")
    return Decision(torch.stack([one.index for one in made]), torch.stack([one.accept for one in made]))


class Counts:
    """The step counts of some parameters in one tensor, of which those in the optimizer's state are views."""

    def __init__(self, members: Sequence[int]) -> None:
        self._members = members
        self._shown: list[Tensor] = []
        self._whole = torch.empty(0, device="cpu")

    def of(self, group: GroupTensors) -> Tensor:
        """(members,), made anew where somebody has put other tensors into the state."""
        steps = [group.steps[i] for i in self._members]
        if len(self._shown) != len(steps) or not all(map(operator.is_, steps, self._shown)):
            self._whole = torch.stack(steps)
            self._shown = list(self._whole.unbind())
            for i, view in zip(self._members, self._shown, strict=True):
                group.steps[i] = view
                if group.records:
                    group.records[i]["step"] = view
        return self._whole


def integers(values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
    """int64 on the CPU, whatever torch's default device is."""
    return torch.tensor(values, dtype=torch.int64, device="cpu")


def chunks(sizes: Sequence[int], most: int) -> Tensor:
    """How the elements of tensors are shared out: chunk k is length[k] ≤ `most` of tensor[k] from begin[k] on.

    (3, chunks): tensor, begin and length, as `integers`.
    """
    whole = integers(sizes)
    counts = (whole + most - 1) // most
    tensor = torch.repeat_interleave(counts)
    begin = (torch.arange(len(tensor), device="cpu") - (counts.cumsum(0) - counts)[tensor]) * most
    return torch.stack([tensor, begin, (whole[tensor] - begin).clamp(max=most)])
