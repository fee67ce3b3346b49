"""The update as one compiled pass over each large tensor's memory, of any length: compiled once, whatever the shapes.

A pass reads and writes every number once, so the norm of the gradient, which decides about this step's entry, is known
only when it is over. Where the entry is the momentum, which stays where it is, the next pass inserts it first of all;
where it is the gradient, or where the momentum's own norm decides, the norm is taken beforehand, in a pass of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import FunctionType

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from cmbench.optim.buffer import Decision, replace
from cmbench.optim.plain import Recipe, Tensors, memory_order


@dataclass(frozen=True)
class Variant:
    """What a pass is compiled for; `deferred` inserts the momentum of the step before instead of this step's entry."""

    rule: str
    memory: str
    momentum: bool
    weight_decay: bool
    deferred: bool
    dtype: torch.dtype
    slots: torch.dtype
    device: str


@dataclass(frozen=True)
class Unit:
    """What one pass runs over: a large tensor, or several small ones whose state is packed into one.

    `members` are positions in the lists of a parameter group. `state` holds what belongs to them by the names of
    `Tensors`, as vectors (n,) and, for `slots` and their alias `reads`, as (C, n). `order` is that of a single
    tensor's dimensions in memory. `run` is the pass.
    """

    members: tuple[int, ...]
    state: dict[str, Tensor]
    order: tuple[int, ...] | None
    run: Callable[..., Tensor | None]

    def vector(self, tensors: Sequence[Tensor]) -> Tensor:
        """The members' `tensors` as one vector: of a single one a view, if it lies in memory like the parameter."""
        if self.order is None:
            return torch.cat([tensors[i].reshape(-1) for i in self.members])
        return tensors[self.members[0]].permute(self.order).reshape(-1)

    def spread(self, vector: Tensor, tensors: Sequence[Tensor]) -> None:
        """Writes back into the members' `tensors` what is not a view of them."""
        if self.order is None:
            own = [tensors[i] for i in self.members]
            parts = vector.split([t.numel() for t in own])
            torch._foreach_copy_(own, [part.view(t.shape) for part, t in zip(parts, own, strict=True)])


@dataclass
class Plan:
    """How the tensors of a parameter group are updated as long as they are the same: in `units`, the `rest` by foreach.

    `kind` is what its passes were compiled for. `awaiting` are the decisions about momenta that are not stored yet, one
    per unit.
    """

    kind: tuple[bool, ...]
    tensors: list[Tensor]
    units: list[Unit]
    rest: list[int]
    awaiting: list[Decision | None]

    def fits(self, kind: tuple[bool, ...], tensors: Sequence[Tensor]) -> bool:
        """Whether it was made for these very tensors, and for what is to be done with them now."""
        same = self.kind == kind and len(tensors) == len(self.tensors)
        return same and all(map(_is_same, tensors, self.tensors))

    def settle(self) -> None:
        """Stores the momenta that await it."""
        for unit, decision in zip(self.units, self.awaiting, strict=True):
            if decision is not None:
                replace(unit.state["slots"], unit.state["totals"], unit.state["momenta"], decision)
        self.awaiting = [None] * len(self.units)


def _is_same(a: Tensor, b: Tensor) -> bool:
    # The local part of a DTensor is a new object every time.
    return a is b or (not isinstance(a, FakeTensor) and a.data_ptr() == b.data_ptr() != 0)


def single(i: int, tensors: Tensors, run: Callable[..., Tensor | None]) -> Unit | None:
    """The unit of one parameter alone; None where its tensors lie in memory with gaps or unlike each other."""
    order = memory_order(tensors.params[i])
    if order is None:
        return None
    state = {}
    for name in ("momenta", "squares", "totals", "slots"):
        if not getattr(tensors, name):
            continue
        tensor = getattr(tensors, name)[i]
        ahead = tensor.dim() - len(order)
        ordered = tensor.permute(*range(ahead), *(ahead + d for d in order))
        if not ordered.is_contiguous():
            return None
        state[name] = ordered.flatten(ahead) if order else ordered.unsqueeze(-1)
    return Unit((i,), state | {"reads": alias(state["slots"])}, order, run)


def smallest(device: torch.device) -> int:
    """Elements below which calling a pass costs more than copying parameter and gradient into a pack and back.

    A call takes some 30 µs, in which a CPU's memory moves a megabyte, a GPU's fifty.
    """
    return 1 << (15 if device.type == "cpu" else 20)


def compiled_pass(recipe: Recipe, param: Tensor, slots: Tensor, deferred: bool) -> Callable[..., Tensor | None] | None:
    """The pass for such a parameter; None, after a warning, where there is no compiler for it.

    None as well for a single slot: what has the length one is no variable length to torch's compiler.
    """
    if len(slots) == 1:
        return None
    return _pass(
        Variant(
            recipe.rule,
            recipe.memory,
            recipe.rule == "adam" or recipe.memory == "cm" or recipe.momentum > 0,
            recipe.weight_decay != 0,
            deferred,
            param.dtype,
            slots.dtype,
            "fake" if isinstance(param, FakeTensor) else param.device.type,
        )
    )


def alias(slots: Tensor) -> Tensor:
    """The same memory as another tensor, of which torch's compiler does not know that it is the same.

    A pass reads a slot and writes it, element by element. The compiler, which does not see that both have the same
    index, would put the new entry aside until everything is read: a third more traffic.
    """
    return slots if isinstance(slots, FakeTensor) else torch.from_dlpack(slots)


def update(
    units: Sequence[Unit],
    tensors: Tensors,
    decisions: Sequence[Decision | None],
    recipe: Recipe,
    *,
    deferred: bool = False,
) -> list[Tensor]:
    """What `plain.update` does for the members of `units`; returns the norm of the gradient of each unit if `deferred`.

    `decisions` has one per unit. If `deferred` they are those of the step before, None where there was none, and it is
    the momentum as that step left it that they insert.
    """
    torch._foreach_add_([tensors.steps[i] for unit in units for i in unit.members], 1)
    firsts = [unit.members[0] for unit in units]
    steps = torch.stack([tensors.steps[i] for i in firsts])
    columns = [torch.full_like(steps, 1 - recipe.momentum), torch.full_like(steps, recipe.momentum)]
    if recipe.rule == "adam":
        lr, root = recipe.step_sizes(steps)
        decay = torch.full_like(steps, 1.0) - recipe.lr * recipe.weight_decay
        columns += [lr, root, *(torch.full_like(steps, value) for value in (recipe.eps, 1 - recipe.beta2)), decay]
    else:
        columns += [torch.zeros_like(steps) + recipe.lr]
    columns.append(torch.stack([tensors.scales[i] for i in firsts]).to(steps.dtype))
    rows = torch.stack(columns, 1).unbind()
    never = Decision(torch.zeros((), dtype=torch.int64, device=steps.device), torch.zeros_like(steps[0]).bool())
    squares = []
    for unit, decision, row in zip(units, decisions, rows, strict=True):
        param, chosen = unit.vector(tensors.params), decision or never
        found = unit.run(
            param,
            unit.vector(tensors.grads),
            **unit.state,
            index=chosen.index,
            accept=chosen.accept,
            coefficients=row,
        )
        squares.append(found)
        unit.spread(param, tensors.params)
    return list(torch._foreach_sqrt(squares)) if deferred else []


def _body(variant: Variant) -> Callable[..., Tensor | None]:
    rule, memory, deferred = variant.rule, variant.memory, variant.deferred

    def one_pass(
        params: Tensor,
        grads: Tensor,
        totals: Tensor,
        slots: Tensor,
        reads: Tensor,
        index: Tensor,
        accept: Tensor,
        coefficients: Tensor,
        momenta: Tensor | None = None,
        squares: Tensor | None = None,
    ) -> Tensor | None:
        renewal, momentum, lr, *of_adam, scale = coefficients.unbind()
        wide = coefficients.dtype
        grad, param, total = grads.to(wide), params.to(wide), totals.to(wide)
        before = momenta if momenta is None else momenta.to(wide)
        after = before if before is None else before + (grad - before) * renewal
        entry = grad if memory == "cg" else before if deferred else after

        row = index.unsqueeze(0)
        old = reads.index_select(0, row)[0]
        kept = torch.where(accept, entry.to(old.dtype), old)
        new_total = total + (kept.to(wide) - old.to(wide))
        aggregate = (grad if memory == "cg" else after) + (new_total if deferred else total) * scale
        direction = aggregate
        if memory == "cg" and rule == "adam":
            direction = after = before + (aggregate - before) * renewal
        elif memory == "cg" and before is not None:
            direction = after = before * momentum + aggregate
        if rule == "adam":
            root, eps, observation, decay = of_adam
            square = squares.to(wide)
            square = square + (aggregate * aggregate - square) * observation
            if variant.weight_decay:
                param = param * decay
            param = param - direction * lr / (square.sqrt() * root + eps)
            squares.copy_(square)
        else:
            param = param - direction * lr
        slots.index_copy_(0, row, kept.unsqueeze(0))
        totals.copy_(new_total)
        params.copy_(param)
        if after is not None:
            momenta.copy_(after)
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
def _pass(variant: Variant) -> Callable[..., Tensor | None] | None:
    """The compiled pass, tried once on a sample; None, with a warning, where it can't be compiled or is wrong."""
    body = _body(variant)
    if variant.device == "fake":
        return body
    compiled = torch.compile(body, dynamic=True, fullgraph=True, options={"emulate_precision_casts": True})
    try:
        expected, got = _try(body, variant), _try(compiled, variant)
        # A slot read after it was written would be wrong by tenths; half precision rounds by less than a hundredth.
        agree = all(torch.allclose(a, b, rtol=0.02, atol=0.02) for a, b in zip(expected, got, strict=True))
        problem = "" if agree else "its result is wrong"
    except Exception as error:
        # Whatever the compiler's own compiler or the missing of one raises.
        problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    if problem:
        _warn_once(variant.device, problem)
        return None
    return compiled


@cache
def _warn_once(device: str, problem: str) -> None:
    warnings.warn(f"fused=True: no compiled update on {device}, foreach is used instead ({problem})", stacklevel=2)


def _try(run: Callable[..., Tensor | None], variant: Variant) -> list[Tensor]:
    """One pass over a small sample; returns what it changed."""
    n, capacity = 1 << 16, 2
    generator = torch.Generator().manual_seed(0)

    def sample(*shape: int, dtype: torch.dtype = variant.dtype) -> Tensor:
        return torch.rand(shape, generator=generator).to(variant.device, dtype)

    wide = torch.promote_types(variant.dtype, torch.float32)
    slots = sample(capacity, n, dtype=variant.slots)
    tensors = {"params": sample(n), "grads": sample(n), "totals": slots.sum(0, dtype=wide), "slots": slots}
    if variant.momentum:
        tensors["momenta"] = sample(n)
    if variant.rule == "adam":
        tensors["squares"] = sample(n)
    with torch.no_grad():
        returned = run(
            **tensors,
            reads=alias(slots),
            index=torch.ones((), dtype=torch.int64, device=variant.device),
            accept=torch.ones((), dtype=torch.bool, device=variant.device),
            coefficients=sample(8 if variant.rule == "adam" else 4, dtype=wide),
        )
    return [*tensors.values(), *([] if returned is None else [returned / n])]
