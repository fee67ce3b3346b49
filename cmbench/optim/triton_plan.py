"""The plan of the step in Triton: one launch of a kernel for all tensors of a parameter group on a GPU."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from cmbench.optim.addressed import AddressedPlan, Variant, chunks, integers, passable, together
from cmbench.optim.buffer import Decision
from cmbench.optim.judge import Judge
from cmbench.optim.passes import brief
from cmbench.optim.plan import Plan
from cmbench.optim.sample import is_right
from cmbench.optim.toolchain import is_off
from cmbench.optim.update import GroupTensors

CHUNK = 1 << 11
"""Elements of one tensor that a program of the kernel updates; a power of two."""
WARPS = 8
"""Warps, of 32 or 64 threads, in a program."""


class Kernel:
    """The kernels of triton_kernel.py for one variant; raises `ImportError` without Triton."""

    def __init__(self, variant: Variant, chunk: int) -> None:
        self._module = import_module("cmbench.optim.triton_kernel")
        self.chunk = chunk
        wide = torch.promote_types(variant.dtype, torch.float32)
        types = {"PARAM": self._type(variant.dtype), "WIDE": self._type(wide)}
        of_step = {"RULE": self._module.RULES[variant.rule.upper()], "SLOT": self._type(variant.slots)}
        self._constants = {"step": types | of_step, "measure": types, "root": {}}

    def _type(self, dtype: torch.dtype) -> Any:
        return getattr(self._module.tl, str(dtype).removeprefix("torch."))

    def launch(self, name: str, programs: int, *arguments: Tensor | int, **constants: bool) -> None:
        """Starts so many programs of a kernel on the device of its first argument."""
        first = arguments[0]
        assert isinstance(first, Tensor)
        with torch.cuda.device(first.get_device()):
            getattr(self._module, name)[(programs,)](
                *arguments, **self._constants[name], **constants, CHUNK=self.chunk, num_warps=WARPS
            )


class TritonPlan(AddressedPlan):
    """Units of one parameter each, on one device, all updated by one launch; another one sums the squares for norms.

    Nothing is read back from the device. What the kernel is told of lies there, and is written by the device itself:
    which slots were chosen, the numbers of the step. From the host come the addresses of the gradients alone, when they
    have changed, and it does not wait for the copy. What torch allocates in a step are scalars of decisions and of the
    rule's numbers, and a copy of a gradient that does not lie in memory as its parameter does.

    So a CUDA graph can repeat a step, captured after one that was not. It does so for as long as the same parameters
    have gradients and no state is loaded. What Python does in a step it does not repeat: the running sum is not
    computed anew, and a learning rate that is no tensor on the device stays as it was.
    """

    def __init__(
        self, kind: tuple[object, ...], group: GroupTensors, members: list[int], deferred: bool, kernel: Kernel
    ) -> None:
        super().__init__(kind, group, members, deferred)
        self._kernel = kernel
        device, count = group.params[members[0]].device, len(members)
        params, *state = self.rows
        slots = [stack.data_ptr() for stack in self.slots]
        slot_bytes = [stack.stride(0) * stack.element_size() for stack in self.slots]
        shares = chunks(self.sizes, kernel.chunk)
        ends = accumulate((-(-size // kernel.chunk) for size in self.sizes), initial=0)
        self._table = _copied(integers([params, *state, slots, slot_bytes]), device)
        self._chunks = _copied(shares, device).unbind()
        self._ends = _copied(integers(list(ends)), device)
        self._gradients_at = Addresses(count, device)
        self._squares = torch.empty(shares.shape[1], dtype=torch.float64, device=device)
        self._norms = torch.empty(count, dtype=torch.float64, device=device)
        steps = self._counts.of(group)
        # Sign, L2, renewal, scale and shrinkage, then the rule's numbers.
        self._coefficients = steps.new_zeros(5 + len(group.rule.numbers(group.group, steps)), count)
        self._constants = {"IS_CM": self.stays_in is not None, "IS_BEFORE": deferred, "HAS_MOMENTUM": any(state[1])}
        # Always the same tensors: a captured step finds there what the one before, captured or not, has decided.
        self._index = torch.zeros(count, dtype=torch.int64, device=device)
        self._accept = torch.zeros(count, dtype=torch.bool, device=device)
        self._await_held()

    def _await_held(self) -> None:
        self.awaiting = [Decision(*each) for each in zip(self._index.unbind(), self._accept.unbind(), strict=True)]

    def hold(self, decisions: Sequence[Decision | None]) -> None:
        made = together(decisions)
        if made is None:
            self._accept.zero_()
        else:
            self._index.copy_(made.index)
            self._accept.copy_(made.accept)

    def settle(self) -> None:
        if self.is_before:
            super().settle()
            self._accept.zero_()
            self._await_held()

    def run(self, group: GroupTensors, decisions: Sequence[Decision | None]) -> Tensor | None:
        if decisions is not self.awaiting:
            self.hold(decisions)
        decided = self._index, self._accept
        self._launch("step", group, self._begun(group), *decided, **self._constants)
        self._ended(group)
        return self._sums() if self.is_before else None

    def norms(self, group: GroupTensors, judge: Judge) -> Tensor:
        self._launch("measure", group, (), OF_ENTRY=judge.needs_the_entry() and self.stays_in is not None)
        return self._sums()

    def _launch(
        self, name: str, group: GroupTensors, values: Sequence[Tensor | float], *more: Tensor, **constants: bool
    ) -> None:
        """Launches a kernel with the numbers of the group and `values`."""
        gradients = self._gradients(group)
        addresses = self._gradients_at.of([gradient.data_ptr() for gradient in gradients])
        self._write((group.sign, group.l2, group.renewal, *values))
        where = (*self._chunks, self._table, addresses, self._coefficients)
        self._kernel.launch(name, len(self._squares), *where, self._squares, len(self.leaders), *more, **constants)

    def _sums(self) -> Tensor:
        """The roots of the sums that the kernel has left, (units,), in a tensor that the next ones go into as well."""
        self._kernel.launch("root", len(self.leaders), self._squares, self._ends, self._norms)
        return self._norms

    def _write(self, values: Sequence[Tensor | float]) -> None:
        """Puts each of `values`, a number or a tensor () or (units,), into its row of the coefficients.

        A number, and what lies in a tensor () on the host, is an argument of a kernel, and so no copy to wait for.
        """
        rows = self._coefficients.unbind()[: len(values)]
        numbers = {k: value for k, value in enumerate(values) if not isinstance(value, Tensor)}
        torch._foreach_zero_(rows)
        torch._foreach_add_([rows[k] for k in numbers], list(numbers.values()))
        for row, value in zip(rows, values, strict=True):
            if isinstance(value, Tensor):
                row.add_(value)


class Addresses:
    """Addresses that change from step to step, as torch allocates gradients anew, in a tensor on the device.

    They are copied when they have changed, from page-locked memory. A CUDA graph repeats the copies that it has
    captured: those of the same addresses have memory of their own on both sides, which nothing else is ever written to.
    Some is kept for the next ones, because page-locked memory is not always to be had in a capture.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self._count, self._device = count, device
        self._known: list[int] = []
        self._table = torch.empty(count, dtype=torch.int64, device=device)
        self._spare: tuple[Tensor, Tensor] | None = self._pair()
        self._captured: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    def of(self, addresses: list[int]) -> Tensor:
        """These, on the device."""
        if _is_captured(self._device):
            known = tuple(addresses)
            if known not in self._captured:
                host, table = self._spare or self._pair()
                self._spare = None
                self._captured[known] = host.copy_(integers(addresses)), table
            host, table = self._captured[known]
            return table.copy_(host, non_blocking=True)
        if self._spare is None:
            self._spare = self._pair()
        if addresses != self._known:
            self._table.copy_(_pinned(integers(addresses), self._device), non_blocking=True)
            self._known = addresses
        return self._table

    def _pair(self) -> tuple[Tensor, Tensor]:
        host = torch.zeros(self._count, dtype=torch.int64, device="cpu")
        return _pinned(host, self._device), torch.empty_like(self._table)


def _is_captured(device: torch.device) -> bool:
    """Whether a CUDA graph records what is done."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _pinned(numbers: Tensor, device: torch.device) -> Tensor:
    """Where a copy to the device can be made from without waiting."""
    return numbers.pin_memory() if device.type == "cuda" else numbers


def _copied(numbers: Tensor, device: torch.device) -> Tensor:
    """A copy on the device."""
    return _pinned(numbers, device).to(device, non_blocking=True)


def triton_plan(kind: tuple[object, ...], group: GroupTensors, deferred: bool) -> Plan | None:
    """The plan for what of a group is on a GPU, the first one where there are several.

    None, for torch's compiler to do it, where there is no parameter on a GPU, no Triton, where the kernel does not know
    the rule, the memory or the types, and, after a warning, where it is wrong. A CPU is taken for a GPU where Triton's
    interpreter is on (`TRITON_INTERPRET=1`) and the native step is switched off.
    """
    device = next((param.device for param in group.params if _is_for_triton(param.device)), None)
    found = None if device is None else passable(group, device)
    if device is None or found is None:
        return None
    variant, members = found
    kernel = _tried(variant, device, CHUNK)
    if isinstance(kernel, str):
        _warn_once(device.type, kernel)
    return TritonPlan(kind, group, members, deferred, kernel) if isinstance(kernel, Kernel) else None


def _is_for_triton(device: torch.device) -> bool:
    return device.type == "cuda" or (device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1" and is_off())


@cache
def _tried(variant: Variant, device: torch.device, chunk: int) -> Kernel | str | None:
    """The kernels, tried on a sample, or why there are none; None without Triton, or lines for the rule."""
    try:
        kernel = Kernel(variant, chunk)
    except (ImportError, KeyError):
        return None

    def plan(group: GroupTensors, deferred: bool) -> AddressedPlan:
        return TritonPlan((), group, list(range(len(group.params))), deferred, kernel)

    try:
        return kernel if is_right(plan, variant, device, chunk) else "its result is wrong"
    except Exception as error:  # whatever Triton or the driver raises
        return brief(error)


@cache
def _warn_once(device: str, problem: str) -> None:
    warnings.warn(f"fused=True: no Triton step on {device}, torch's compiler makes it ({problem})", stacklevel=2)
