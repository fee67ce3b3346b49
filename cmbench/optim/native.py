"""The plan of the native step: one call of a C function for all tensors of a parameter group on a CPU."""

from __future__ import annotations

import ctypes
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import repeat

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision, replace
from cmbench.optim.implementations import Implementation
from cmbench.optim.judge import Judge
from cmbench.optim.memories import MEMORIES, Memory
from cmbench.optim.plan import NoPlan, Plan, column
from cmbench.optim.rules import RULES, Rule
from cmbench.optim.toolchain import CompilerError, is_off, library
from cmbench.optim.update import GroupTensors, memory_order

CHUNK = 1 << 14
"""Elements that a thread takes at once: what it reads of them fits into its share of the cache."""
SMALL = 1 << 15
"""Elements up to which a second thread would take longer to wake up than it would save."""

_KINDS = {torch.float32: "F32", torch.float64: "F64", torch.bfloat16: "BF16", torch.float16: "F16"}


@dataclass(frozen=True)
class Variant:
    """What the C function is compiled for."""

    rule: str
    memory: str
    dtype: torch.dtype
    slots: torch.dtype

    @property
    def defines(self) -> tuple[str, ...]:
        """What the compiler is told."""
        parts = {"RULE": self.rule.upper(), "MEMORY": self.memory.upper()}
        return tuple(
            f"{name}={value}"
            for name, value in (parts | {"PARAM": _KINDS[self.dtype], "SLOT": _KINDS[self.slots]}).items()
        )


def native_plan(kind: tuple[object, ...], group: GroupTensors, deferred: bool) -> Plan | None:
    """The plan for what of a group is on a CPU: nothing, where there is no compiler.

    None where there is no parameter on a CPU, where C does not know the rule, the memory or the types, and where the
    native step is switched off: there torch's compiler may do it.
    """
    rule, memory = group.rule.key, group.memory.key
    known = RULES.get(rule) is group.rule and MEMORIES.get(memory) is group.memory
    if not known or roles_of(group.rule) is None or is_off() or not group.params or not group.slots:
        return None
    first, slots = group.params[0], group.slots[0]
    if first.dtype not in _KINDS or slots.dtype not in _KINDS:
        return None
    members = [i for i in range(len(group.params)) if _can_be_passed(group, i, first.dtype, slots.dtype)]
    if not members:
        return None
    kernel = loaded(Variant(rule, memory, first.dtype, slots.dtype))
    return NativePlan(kind, group, members, deferred, kernel) if kernel else NoPlan(kind, group)


def roles_of(rule: Rule) -> Mapping[str, str] | None:
    """The names of a rule's state by what they are for the C function; None for a rule that it does not know."""
    found: Mapping[str, str] | None = vars(type(rule)).get("native")
    return found


def _can_be_passed(group: GroupTensors, i: int, dtype: torch.dtype, slots: torch.dtype) -> bool:
    """Whether a parameter and its state are on a CPU, of these types, and lie in memory without gaps and alike."""
    param, total, stack = group.params[i], group.totals[i], group.slots[i]
    if isinstance(param, FakeTensor) or param.device.type != "cpu" or memory_order(param) is None:
        return False
    state = list(group.state_of(i).values())
    alike = all(t.stride() == param.stride() for t in (*state, total)) and stack.stride()[1:] == param.stride()
    typed = all(t.dtype == dtype for t in (param, *state)) and stack.dtype == slots
    return alike and typed and total.dtype == torch.promote_types(dtype, torch.float32)


def loaded(variant: Variant) -> Kernel | None:
    """The C functions, tried on a sample; None, with a warning, where they can't be compiled or are wrong."""
    found = _tried(variant)
    if isinstance(found, Kernel):
        return found
    _warn_once(found)
    return None


@cache
def _tried(variant: Variant) -> Kernel | str:
    """The C functions, or why there are none."""
    try:
        kernel = Kernel(library(variant.defines))
    except (CompilerError, OSError) as error:
        return str(error)
    with _one_thread():
        return kernel if _is_right(kernel, variant) else "its result is wrong"


@contextmanager
def _one_thread() -> Iterator[None]:
    """For what is small: waiting for a second thread would take longer than all of it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def _warn_once(problem: str) -> None:
    warnings.warn(f"fused=True: no native step, foreach is used instead ({problem})", stacklevel=2)


def is_available(rule: str, memory: str, slots: torch.dtype = torch.float32) -> bool:
    """Whether there is a native step for parameters of float32; compiles and tries it, and warns of nothing."""
    known = rule in RULES and roles_of(RULES[rule]) is not None and not is_off()
    return known and isinstance(_tried(Variant(rule, memory, torch.float32, slots)), Kernel)


Function = Callable[..., None]


class Kernel:
    """The two functions of a compiled native.c."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.step: Function = library.cmbench_step
        self.measure: Function = library.cmbench_measure
        for function in (library.cmbench_step, library.cmbench_measure):
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
        self._layout = [(param.shape, param.stride()) for param in params]
        rows = [params, params, *(group.state.get(name or "") for name in names), group.totals]
        self._addresses = torch.zeros((len(rows) + 1, len(members)), dtype=torch.int64)
        for row, tensors in zip(self._addresses, rows, strict=False):
            if tensors is not None:
                here = tensors if tensors is params else [tensors[i] for i in members]
                row.copy_(torch.tensor([tensor.data_ptr() for tensor in here]))
        slots = [stack for stack, _, _ in self._buffers]
        self._slots = torch.tensor([stack.data_ptr() for stack in slots])
        self._slot_bytes = torch.tensor([stack.stride(0) * stack.element_size() for stack in slots])
        self._chunks = Chunks.of([param.numel() for param in params])
        self._counts = Counts(members)

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
        return self._call(self._kernel.step, group, self._is_before, steps, *values)

    def norms(self, group: GroupTensors, judge: Judge) -> Tensor:
        return self._call(self._kernel.measure, group, judge.needs_the_entry(), self._counts.of(group))

    def _call(
        self, function: Function, group: GroupTensors, flag: bool, steps: Tensor, *values: Tensor | float
    ) -> Tensor:
        """Calls a C function with the numbers of the group and `values`; the roots of the sums that it returns."""
        own = (group.sign, group.l2, group.renewal, *values)
        coefficients = torch.stack([column(value, steps) for value in own], 1).double()
        gradients = self._gradients(group)
        self._addresses[1] = torch.tensor([gradient.data_ptr() for gradient in gradients])
        squares = torch.empty(len(self._chunks.tensor), dtype=torch.float64)
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


class Counts:
    """The step counts of some parameters in one tensor, of which those in the optimizer's state are views."""

    def __init__(self, members: Sequence[int]) -> None:
        self._members = members
        self._shown: list[Tensor] = []
        self._whole = torch.empty(0)

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
        tensor, begin, length = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3).t().contiguous()
        return Chunks(tensor, begin, length, torch.tensor(ends, dtype=torch.int64), sum(sizes))


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


def _is_right(kernel: Kernel, variant: Variant) -> bool:
    """Whether the C function does to a sample what `plain` does, inserted before and after, and not at all."""
    rule, memory = RULES[variant.rule], MEMORIES[variant.memory]
    deferrals = (True, False) if memory.entry_stays_in else (False,)
    accepts = (True, False)
    tolerance = 1e-5 if {variant.dtype, variant.slots} <= {torch.float32, torch.float64} else 2e-2
    for deferred in deferrals:
        for accept in accepts:
            mine, reference = (_sample(rule, memory, variant) for _ in range(2))
            decision = Decision(torch.tensor(1), torch.tensor(accept))
            decisions = [decision] * len(mine.params)
            NativePlan((), mine, list(range(len(mine.params))), deferred, kernel).run(mine, decisions)
            _by_plain(reference, decisions, deferred)
            if not all(map(_agree(tolerance), _results(mine), _results(reference))):
                return False
    return True


def _agree(tolerance: float) -> Callable[[Tensor, Tensor], bool]:
    return lambda a, b: torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance)


def _by_plain(group: GroupTensors, decisions: list[Decision], deferred: bool) -> None:
    if deferred:
        entries = group.state[group.memory.entry_stays_in or ""]
        for each in zip(group.slots, group.totals, entries, decisions, strict=True):
            replace(*each)
    torch._foreach_add_(group.steps, 1)
    Implementation().update(group, None if deferred else decisions)


def _results(group: GroupTensors) -> list[Tensor]:
    state = (tensor for tensors in group.state.values() for tensor in tensors)
    return [*group.params, *group.totals, *group.slots, *state]


def _sample(rule: Rule, memory: Memory, variant: Variant) -> GroupTensors:
    """Two parameters of odd lengths, one of them longer than a chunk, with everything that can be switched on."""
    generator = torch.Generator().manual_seed(0)
    hyperparameters = {each.name: each.default for each in (*rule.hyperparameters, *memory.hyperparameters)}
    group = hyperparameters | {"weight_decay": 0.1, "momentum": 0.9, "maximize": True}
    wide = torch.promote_types(variant.dtype, torch.float32)

    def some(*leading: int, dtype: torch.dtype = variant.dtype) -> list[Tensor]:
        sizes = (CHUNK + 37, 3)
        return [torch.rand((*leading, n), generator=generator).add_(0.1).to(dtype) for n in sizes]

    slots = some(3, dtype=variant.slots)
    sample = GroupTensors(rule, memory, group, params=some(), gradients=some(), slots=slots)
    sample.owners = sample.params
    sample.state = {name: some() for name in memory.state(rule, group)}
    sample.totals = [stack.sum(0, dtype=wide) for stack in slots]
    sample.steps = [torch.tensor(4.0, dtype=wide) for _ in slots]
    sample.scales = [torch.tensor(1 / 3, dtype=wide)] * len(slots)
    return sample
