"""The plan of the native step: one call of a C function for all tensors of a parameter group on a CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmbench.optim.addressed import AddressedPlan, chunks, integers, together
from cmbench.optim.buffer import Decision
from cmbench.optim.judge import Judge
from cmbench.optim.plan import column
from cmbench.optim.update import GroupTensors

CHUNK = 1 << 14
"""Elements that a thread takes at once: what it reads of them fits into its share of the cache."""
SMALL = 1 << 15
"""Elements up to which a second thread would take longer to wake up than it would save."""

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


class NativePlan(AddressedPlan):
    """Units of one parameter each, all updated by one call of the C function."""

    def __init__(
        self, kind: tuple[object, ...], group: GroupTensors, members: list[int], deferred: bool, kernel: Kernel
    ) -> None:
        super().__init__(kind, group, members, deferred)
        self._kernel = kernel
        params, *state = self.rows
        none = [0] * len(members)
        self._addresses = integers([params, none, *state, none])
        self._slots = integers([stack.data_ptr() for stack in self.slots])
        self._slot_bytes = integers([stack.stride(0) * stack.element_size() for stack in self.slots])
        self._chunks = Chunks.of(self.sizes)

    def run(self, group: GroupTensors, decisions: Sequence[Decision | None]) -> Tensor | None:
        self._addresses[-1] = self._slots_for(decisions)
        norms = self._call(self._kernel.step, group, self.is_before, self._begun(group))
        self._ended(group)
        return norms

    def norms(self, group: GroupTensors, judge: Judge) -> Tensor:
        return self._call(self._kernel.measure, group, judge.needs_the_entry(), ())

    def _call(self, function: Function, group: GroupTensors, flag: bool, values: Sequence[Tensor | float]) -> Tensor:
        """Calls a C function with the numbers of the group and `values`; the roots of the sums that it returns."""
        steps = self._counts.of(group)
        own = (group.sign, group.l2, group.renewal, *values)
        coefficients = torch.stack([column(value, steps) for value in own], 1).double()
        gradients = self._gradients(group)
        self._addresses[1] = integers([gradient.data_ptr() for gradient in gradients])
        squares = torch.empty(len(self._chunks.tensor), dtype=torch.float64, device="cpu")
        threads = torch.get_num_threads() if self._chunks.elements > SMALL else 1
        work = Work.of(self._chunks, self._addresses, coefficients, threads)
        function(ctypes.byref(work), ctypes.c_int64(flag), ctypes.c_void_p(squares.data_ptr()))
        return squares.new_zeros(len(steps)).index_add_(0, self._chunks.tensor, squares).sqrt()

    def _slots_for(self, decisions: Sequence[Decision | None]) -> Tensor:
        """Where the entries go, 0 for those that do not go anywhere."""
        made = together(decisions)
        if made is None:
            return torch.zeros_like(self._slots)
        return torch.where(made.accept, self._slots + self._slot_bytes * made.index, 0)


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
        tensor, begin, length = chunks(sizes, CHUNK)
        ends, filled = [], 0
        for number, own in enumerate(length.tolist(), 1):
            filled += own
            if filled >= CHUNK or number == len(length):
                ends.append(number)
                filled = 0
        return Chunks(tensor, begin, length, integers(ends), sum(sizes))


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
