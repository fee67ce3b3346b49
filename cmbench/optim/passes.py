"""The compiled pass over a tensor's memory: `advance` and the insertion of an entry, of any length, compiled once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FunctionType

import torch
import torch.utils.dlpack
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import selected
from cmbench.optim.memories import Memory
from cmbench.optim.rules import Rule
from cmbench.optim.update import advance

Pass = Callable[..., "Tensor | None"]
"""Updates vectors in place: `params`, `grads`, `totals` (n,), `slots`, their alias `reads` (C, n), the state by name.

`index` and `accept` () say what is inserted where; `coefficients` are 1 − β, what turns the sum into a mean, what
weight decay leaves, and the rule's numbers. One that defers returns the sum of the gradient's squares.
"""


@dataclass(frozen=True)
class Variant:
    """What a pass is compiled for; `deferred` inserts the entry of the step before instead of this step's."""

    rule: Rule
    memory: Memory
    state: tuple[str, ...]
    decays: bool
    deferred: bool
    dtype: torch.dtype
    slots: torch.dtype
    device: str

    @property
    def wide(self) -> torch.dtype:
        """What a pass computes in."""
        return torch.promote_types(self.dtype, torch.float32)


@cache
def compiled(variant: Variant) -> Pass | None:
    """The compiled pass, tried once on a sample; None, with a warning, where it can't be compiled or is wrong."""
    body = _body(variant)
    if variant.device == "fake":
        return body
    run = torch.compile(body, dynamic=True, fullgraph=True, options={"emulate_precision_casts": True})
    try:
        expected, got = _try(body, variant), _try(run, variant)
        # A slot read after it was written would be wrong by tenths; half precision rounds by less than a hundredth.
        agree = all(torch.allclose(a, b, rtol=0.02, atol=0.02) for a, b in zip(expected, got, strict=True))
        problem = "" if agree else "its result is wrong"
    except Exception as error:
        # Whatever the compiler's own compiler or the missing of one raises.
        problem = brief(error)
    if problem:
        _warn_once(variant.device, problem)
        return None
    return run


def brief(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _body(variant: Variant) -> Pass:
    rule, memory, deferred, decays = variant.rule, variant.memory, variant.deferred, variant.decays
    stays_in = memory.entry_stays_in or ""
    numbers_of = type(rule.numbers({each.name: each.default for each in rule.hyperparameters}, torch.ones(())))

    def one_pass(
        params: Tensor,
        grads: Tensor,
        totals: Tensor,
        slots: Tensor,
        reads: Tensor,
        index: Tensor,
        accept: Tensor,
        coefficients: Tensor,
        **state: Tensor,
    ) -> Tensor | None:
        wide = coefficients.dtype
        renewal, scale, shrinkage, *numbers = coefficients.unbind()
        param, grad, total = params.to(wide, copy=True), grads.to(wide), totals.to(wide)
        own = {name: tensor.to(wide, copy=True) for name, tensor in state.items()}
        row = index.unsqueeze(0)
        old = reads.index_select(0, row)[0]
        if deferred:
            kept, change = selected(old, own[stays_in].clone(), accept, wide)
            total = total + change
        entry = advance(
            memory, rule, numbers_of(*numbers), renewal, shrinkage if decays else None, param, grad, own, total, scale
        )
        if not deferred:
            kept, change = selected(old, entry, accept, wide)
            total = total + change
        slots.index_copy_(0, row, kept.unsqueeze(0))
        totals.copy_(total)
        params.copy_(param)
        for name, tensor in state.items():
            tensor.copy_(own[name])
        return (grad * grad).sum() if deferred else None

    # A code object of its own: torch's compiler limits how often one is compiled.
    return FunctionType(
        one_pass.__code__.replace(),
        one_pass.__globals__,
        one_pass.__name__,
        one_pass.__defaults__,
        one_pass.__closure__,
    )


@cache
def _warn_once(device: str, problem: str) -> None:
    warnings.warn(f"fused=True: no compiled update on {device}, foreach is used instead ({problem})", stacklevel=2)


def alias(slots: Tensor) -> Tensor:
    """The same memory as another tensor, of which torch's compiler does not know that it is the same.

    A pass reads a slot and writes it, element by element. The compiler, which does not see that both have the same
    index, would put the new entry aside until everything is read: a third more traffic.
    """
    return slots if isinstance(slots, FakeTensor) else torch.utils.dlpack.from_dlpack(slots)


def _try(run: Pass, variant: Variant) -> list[Tensor]:
    """One pass over a small sample; returns what it changed."""
    n, capacity = 1 << 16, 2
    generator = torch.Generator().manual_seed(0)

    def sample(*shape: int, dtype: torch.dtype = variant.dtype) -> Tensor:
        return torch.rand(shape, generator=generator).to(variant.device, dtype)

    group = {each.name: each.default for each in variant.rule.hyperparameters}
    numbers = len(variant.rule.numbers(group, torch.ones(())))
    slots = sample(capacity, n, dtype=variant.slots)
    tensors = {"params": sample(n), "grads": sample(n), "totals": slots.sum(0, dtype=variant.wide), "slots": slots}
    tensors |= {name: sample(n) for name in variant.state}
    with torch.no_grad():
        returned = run(
            **tensors,
            reads=alias(slots),
            index=torch.ones((), dtype=torch.int64, device=variant.device),
            accept=torch.ones((), dtype=torch.bool, device=variant.device),
            coefficients=sample(3 + numbers, dtype=variant.wide),
        )
    return [*tensors.values(), *([] if returned is None else [returned / n])]
