"""The plan of the native step: one call of a C function for all tensors of a parameter group on a CPU."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from cmbench.optim.buffer import Decision
from cmbench.optim.judge import Judge
from cmbench.optim.plan import Plan, column
from cmbench.optim.rules import Rule
from cmbench.optim.update import GroupTensors

CHUNK = 1 << 14
"""Elements that a thread takes at once: what it reads of them fits into its share of the cache."""
SMALL = 1 << 15
"""Elements up to which a second thread would take longer to wake up than it would save."""


def roles_of(rule: Rule) -> Mapping[str, str] | None:
    """The names of a rule's state by what they are for the C function; None for a rule that it does not know."""
    found: Mapping[str, str] | None = vars(type(rule)).get("native")
    return found


Function = Callable[..., None]


class Kernel:
    """The functions of a compiled native.c; `lanes` where it was compiled for lanes."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.step: Function = library.cmbench_step
        self.measure: Function = library.cmbench_measure
        self.lanes: Function | None = getattr(library, "cmbench_lanes", None)
        for function in (self.step, self.measure, self.lanes):
            if function is not None:
                function.restype = None


class NativePlan(Plan):
    """Units of one parameter each, all updated by one call."""

    def __init__(
        self, kind: tuple[object, ...], group: GroupTensors, members: list[int], deferred: bool, kernel: Kernel
    ) -> None:
        own = set(members)
        super().__init__(kind, group, members, [i for i in range(len(group.params)) if i not in own])
        self._kernel, self._is_before = kernel, deferred
        entries = group.state.get(group.memory.entry_stays_in or "", group.params)
        self._buffers = [(group.slots[i], group.totals[i], entries[i]) for i in members]
        roles = roles_of(group.rule) or {}
        is_cm = group.memory.entry_stays_in is not None
        names = (group.memory.entry_stays_in, None if is_cm else roles.get("momentum"), roles.get("square"))
        params = [group.params[i] for i in members]
        self._places = _places(group)
        self._layout = [(param.shape, param.stride()) for param in params]
        rows = [group.params, None, *(group.state.get(name or "") for name in names), group.totals, None]
        zeros = [0] * len(members)
        self._addresses = _integers([zeros if row is None else [row[i].data_ptr() for i in members] for row in rows])
        slots = [stack for stack, _, _ in self._buffers]
        self._slots = _integers([stack.data_ptr() for stack in slots])
        self._slot_bytes = _integers([stack.stride(0) * stack.element_size() for stack in slots])
        self._chunks = Chunks.of([param.numel() for param in params])
        self._counts = Counts(members)

    def fits(self, kind: tuple[object, ...], group: GroupTensors) -> bool:
        # A tensor may be the same, and lie elsewhere since: `param.data = …`.
        return super().fits(kind, group) and _places(group) == self._places

    def buffers(self, unit: int) -> tuple[Tensor, Tensor, Tensor]:
        return self._buffers[unit]

    def run(self, group: GroupTensors, decisions: Sequence[Decision | None]) -> Tensor | None:
        steps = self._counts.of(group)
        steps.add_(1)
        own = [group.scales[i] for i in self.leaders]
        scales = own[0] if all(map(operator.is_, own, repeat(own[0]))) else torch.stack(own)
        shrinkage = 1.0 if group.shrinkage is None else group.shrinkage
        self._addresses[-1] = self._slots_for(decisions)
        values = (scales, shrinkage, *group.rule.numbers(group.group, steps))
        norms = self._call(self._kernel.step, group, self._is_before, steps, *values)
        # What torch does where it changes a tensor itself, so that a graph that needs the old one says so.
        torch.autograd.graph.increment_version([group.params[i] for i in self.leaders])
        return norms

    def norms(self, group: GroupTensors, judge: Judge) -> Tensor:
        return self._call(self._kernel.measure, group, judge.needs_the_entry(), self._counts.of(group))

    def _call(
        self, function: Function, group: GroupTensors, flag: bool, steps: Tensor, *values: Tensor | float
    ) -> Tensor:
        """Calls a C function with the numbers of the group and `values`; the roots of the sums that it returns."""
        own = (group.sign, group.l2, group.renewal, *values)
        coefficients = torch.stack([column(value, steps) for value in own], 1).double()
        gradients = self._gradients(group)
        self._addresses[1] = _integers([gradient.data_ptr() for gradient in gradients])
        squares = torch.empty(len(self._chunks.tensor), dtype=torch.float64, device="cpu")
        threads = torch.get_num_threads() if self._chunks.elements > SMALL else 1
        work = Work.of(self._chunks, self._addresses, coefficients, threads)
        function(ctypes.byref(work), ctypes.c_int64(flag), ctypes.c_void_p(squares.data_ptr()))
        return squares.new_zeros(len(steps)).index_add_(0, self._chunks.tensor, squares).sqrt()

    def _gradients(self, group: GroupTensors) -> list[Tensor]:
        """The gradients as they are, laid out in memory as their parameters."""
        found = []
        for i, (shape, strides) in zip(self.leaders, self._layout, strict=True):
            gradient = group.gradients[i]
            if gradient.stride() != strides or gradient.dtype != group.params[i].dtype:
                gradient = gradient.new_empty_strided(shape, strides, dtype=group.params[i].dtype).copy_(gradient)
            found.append(gradient)
        return found

    def _slots_for(self, decisions: Sequence[Decision | None]) -> Tensor:
        """Where the entries go, 0 for those that do not go anywhere."""
        first = decisions[0]
        if all(decision is first for decision in decisions):
            if first is None or not first.accept:
                return torch.zeros_like(self._slots)
            return self._slots + self._slot_bytes * int(first.index)
        made = [decision for decision in decisions if decision is not None]
        if len(made) < len(decisions):
            raise RuntimeError("some units have a decision and others none")
        index, accept = torch.stack([one.index for one in made]), torch.stack([one.accept for one in made])
        return torch.where(accept, self._slots + self._slot_bytes * index, 0)


def _integers(values: Sequence[Any]) -> Tensor:
    """On the CPU, whatever torch's default device is."""
    return torch.tensor(values, dtype=torch.int64, device="cpu")


def _places(group: GroupTensors) -> list[object]:
    """Where in memory, and in which order, everything lies that a plan has taken the addresses of."""
    of_state = (tensor for tensors in group.state.values() for tensor in tensors)
    every = (*group.params, *of_state, *group.totals, *group.slots)
    return [*(tensor.data_ptr() for tensor in every), *(param.stride() for param in group.params)]


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


@dataclass(frozen=True)
class Chunks:
    """How the elements of tensors are shared: chunk k is `length[k]` of `tensor[k]` from `begin[k]` on; tasks of whole
    chunks end before the chunks `ends`.
    """

    tensor: Tensor
    begin: Tensor
    length: Tensor
    ends: Tensor
    elements: int

    @staticmethod
    def of(sizes: Sequence[int]) -> Chunks:
        """Chunks of at most `CHUNK` elements, in tasks that have about as many."""
        rows = [(i, at, min(CHUNK, size - at)) for i, size in enumerate(sizes) for at in range(0, size, CHUNK)]
        ends, filled = [], 0
        for number, (_, _, length) in enumerate(rows, 1):
            filled += length
            if filled >= CHUNK or number == len(rows):
                ends.append(number)
                filled = 0
        tensor, begin, length = _integers(rows).reshape(-1, 3).t().contiguous()
        return Chunks(tensor, begin, length, _integers(ends), sum(sizes))


class Work(ctypes.Structure):
    """What the C functions are told of, as `Work` in native.c; the tensors must live as long."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("tasks", "count", "width", "threads")),
        *((name, ctypes.c_void_p) for name in ("ends", "tensor", "begin", "length", "addresses", "coefficients")),
    )

    @staticmethod
    def of(chunks: Chunks, addresses: Tensor, coefficients: Tensor, threads: int) -> Work:
        """The work of all `chunks`."""
        tensors = (chunks.ends, chunks.tensor, chunks.begin, chunks.length, addresses, coefficients)
        count, width = coefficients.shape
        return Work(len(chunks.ends), count, width, threads, *(tensor.data_ptr() for tensor in tensors))
