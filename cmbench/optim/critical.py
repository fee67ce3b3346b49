"""The memory-augmented optimizers: the order of a step; state and arithmetic are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cmbench.optim import foreach, fused, plain
from cmbench.optim.buffer import RESUM_EVERY, Decision, Ranking, combined, decide, norms, replace, resum
from cmbench.optim.plain import Recipe, Tensors
from cmbench.optim.sharded import norms_over_shards
from cmbench.optim.state import BufferedOptimizer
from cmbench.optim.stats import BufferStats, measure_buffer


@dataclass
class _Part:
    """One parameter group in one step: what is updated, its rankings, and the buffers that get no entry."""

    recipe: Recipe
    tensors: Tensors
    idle: Tensors
    owners: list[Tensor] = field(default_factory=list)
    rankings: list[Ranking] = field(default_factory=list)
    sharded: bool = False


class CriticalOptimizer(BufferedOptimizer):
    """The step that AdamCM, AdamCG, SGDCM and SGDCG have in common."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One update; returns the closure's loss where there is one.

        The order: momenta, aggregation with the buffer as it was, insertion, decay of the priorities, second moment,
        parameters (Algorithm 1).
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parts = [self._collect(group) for group in self.param_groups]
        if not any(part.tensors.params for part in parts):
            return loss
        first = self.param_groups[0]
        if first["fused"] and first["capacity"] > 0 and not torch.compiler.is_compiling():
            self._step_fused(parts)
        else:
            if first["fused"]:
                self._settle()
            update = foreach.update if first["foreach"] or first["fused"] else plain.update
            decisions = [None] * len(parts)
            if first["capacity"] > 0:
                ranked = [t for part in parts for t in self._ranked(part.tensors, part.recipe)]
                decisions = self._decide(parts, norms(ranked, self._norm_scope(parts)))
            for part, made in zip(parts, decisions, strict=True):
                if part.tensors.params:
                    update(part.tensors, made, part.recipe)
        for group, part in zip(self.param_groups, parts, strict=True):
            group["sum_age"] = (group["sum_age"] + 1) % RESUM_EVERY
            if group["sum_age"] == 0:
                resum(part.tensors.slots, part.tensors.totals)
        return loss

    def _step_fused(self, parts: list[_Part]) -> None:
        # The norm of the gradient comes out of the pass itself where the pass need not know it: see fused.py.
        deferred = self.memory == "cm" and self.param_groups[0]["priority"] != "momentum"
        plans = [self._plan(number, part, deferred) for number, part in enumerate(parts)]
        values: list[Tensor] = []
        for part, plan in zip(parts, plans, strict=True):
            found: dict[int, Tensor] = {}
            left = plan.rest if deferred else list(range(len(part.owners)))
            if deferred and plan.units:
                of_units = fused.update(plan.units, part.tensors, plan.awaiting, part.recipe, deferred=True)
                found = dict(zip((unit.members[0] for unit in plan.units), of_units, strict=True))
            if left:
                ranked = self._ranked(part.tensors.only(left), part.recipe)
                found |= zip(left, norms(ranked, "per_tensor"), strict=True)
            values += (found[i] for i in sorted(found))
        whole = self._norm_scope(parts) == "global"
        decisions = self._decide(parts, [combined(values)] if whole else values)
        for part, plan, made in zip(parts, plans, decisions, strict=True):
            of_units = [made[unit.members[0]] for unit in plan.units]
            if deferred:
                plan.awaiting = of_units
            elif plan.units:
                fused.update(plan.units, part.tensors, of_units, part.recipe)
            if plan.rest:
                foreach.update(part.tensors.only(plan.rest), [made[i] for i in plan.rest], part.recipe)
        self._steps_taken += 1

    def _plan(self, number: int, part: _Part, deferred: bool) -> fused.Plan:
        """How the parameters of a group are updated: the plan of the step before, unless something has changed."""
        tensors = part.tensors
        every = [*part.owners, *tensors.momenta, *tensors.squares, *tensors.totals, *tensors.slots]
        kind = (deferred, part.recipe.weight_decay != 0, part.recipe.momentum > 0)
        plan = self._plans.get(number)
        if plan is not None and plan.fits(kind, every):
            return plan
        self._settle()
        if plan is not None:
            present = set(part.owners)
            for param in self.param_groups[number]["params"]:
                if param not in present:  # its step count is no longer that of the others
                    self._started.pop(param, None)
        units, rest = [], []
        packs: dict[Any, list[int]] = {}
        may_pack = not part.sharded and self.param_groups[0]["scope"] != "per_tensor"
        for i, (owner, param) in enumerate(zip(part.owners, tensors.params, strict=True)):
            unit, run = None, fused.compiled_pass(part.recipe, param, tensors.slots[i], deferred)
            if run and param.numel() >= fused.smallest(param.device):
                unit = fused.single(i, tensors, run)
            elif run and may_pack and owner in self._started and param.is_contiguous():
                packs.setdefault((self._started[owner], run, param.device), []).append(i)
                continue
            if unit is None:
                rest.append(i)
            else:
                units.append(unit)
        units += [self._pack(members, part, run) for (_, run, _), members in packs.items()]
        every = [*part.owners, *tensors.momenta, *tensors.squares, *tensors.totals, *tensors.slots]
        self._plans[number] = fused.Plan(kind, every, units, rest, [None] * len(units))
        return self._plans[number]

    def _pack(self, members: list[int], part: _Part, run: Callable) -> fused.Unit:
        """Moves the state of small parameters into tensors that hold it in one piece, of which theirs become views."""
        tensors, packed = part.tensors, {}
        stack = torch.cat([tensors.slots[i].reshape(len(tensors.slots[i]), -1) for i in members], 1)
        sizes = [tensors.params[i].numel() for i in members]
        for i, slots in zip(members, stack.split(sizes, 1), strict=True):
            self._show_slots(part.owners[i], slots.view(-1, *tensors.params[i].shape))
            tensors.slots[i] = self._stack(part.owners[i])
        for name, key in (("momenta", "exp_avg"), ("squares", "exp_avg_sq"), ("totals", "buffer_sum")):
            own = getattr(tensors, name)
            if own:
                packed[name] = torch.cat([own[i].reshape(-1) for i in members])
                for i, piece in zip(members, packed[name].split(sizes), strict=True):
                    own[i] = self.state[part.owners[i]][key] = piece.view(tensors.params[i].shape)
        return fused.Unit(tuple(members), packed | {"slots": stack, "reads": fused.alias(stack)}, None, run)

    @torch.no_grad()
    def buffer_stats(self) -> BufferStats | None:
        """What the buffer holds now, and how often it has accepted an entry since the last call; None without one.

        Reads values back from the device: not for every step.
        """
        self._settle()
        owners = [param for param, state in self.state.items() if "buffer_sum" in state]
        if not owners:
            return None
        stats, total = measure_buffer(
            [self._ranking(param) for param in owners],
            [self._stack(param) for param in owners],
            owners,
            self.param_groups[0]["scope"],
            self._accepted_before,
        )
        self._accepted_before = total
        return stats

    def _collect(self, group: dict[str, Any]) -> _Part:
        """The tensors of the parameters that have a gradient, their state made where it is their first."""
        part = _Part(Recipe.of(self.rule, self.memory, group), Tensors(), Tensors())
        tensors = part.tensors
        priorities: list[Tensor] = []
        ages: list[Tensor] = []
        accepted: list[Tensor] = []
        part.sharded = self._init_group(
            group,
            part.owners,
            tensors.params,
            tensors.grads,
            tensors.momenta,
            tensors.squares,
            tensors.totals,
            tensors.slots,
            tensors.steps,
            priorities,
            ages,
            accepted,
            part.idle.totals,
            part.idle.slots,
        )
        if not tensors.params:
            return part
        if group["maximize"]:
            tensors.grads = list(torch._foreach_neg(tensors.grads))
        if self.rule == "sgd" and group["weight_decay"] != 0:
            tensors.grads = list(torch._foreach_add(tensors.grads, tensors.params, alpha=group["weight_decay"]))
        if group["capacity"] > 0:
            part.rankings = [Ranking(*each) for each in zip(priorities, ages, accepted, strict=True)]
            if group["scope"] == "per_tensor":
                tensors.scales = [ranking.scale for ranking in part.rankings]
            else:
                scale = part.rankings[0].scale
                tensors.scales = [
                    scale if scale.device == param.device else scale.to(param.device) for param in tensors.params
                ]
        return part

    def _ranked(self, tensors: Tensors, recipe: Recipe) -> Sequence[Tensor]:
        """What the priority of this step's entry is the norm of."""
        if self.memory == "cm" and self.param_groups[0]["priority"] == "momentum":
            return torch._foreach_lerp(tensors.momenta, tensors.grads, 1 - recipe.momentum)
        return tensors.grads

    def _norm_scope(self, parts: list[_Part]) -> str:
        return "per_tensor" if any(part.sharded for part in parts) else self.param_groups[0]["scope"]

    def _decide(self, parts: list[_Part], values: list[Tensor]) -> list[list[Decision]]:
        """One decision per tensor of each group (the same one everywhere, unless the scope is per_tensor).

        `values` are the norms of each tensor, or of all: of this process's part where parameters are sharded.
        """
        first = self.param_groups[0]
        owners = [owner for part in parts for owner in part.owners]
        rankings = [ranking for part in parts for ranking in part.rankings]
        if any(part.sharded for part in parts):
            values = norms_over_shards(values, owners, first["scope"])
        made = [
            decide(ranking, norm.to(ranking.priorities), first["priority"], first["decay"])
            for ranking, norm in zip(rankings, values, strict=first["scope"] == "per_tensor")
        ]
        if first["scope"] == "per_tensor":
            decisions = iter(made)
            return [[next(decisions) for _ in part.owners] for part in parts]
        for part in parts:
            # A parameter without a gradient now is zero in the new entry: what it had in the replaced one goes.
            for total, slots in zip(part.idle.totals, part.idle.slots, strict=True):
                replace(slots, total, torch.zeros_like(total), made[0].to(total.device))
        return [[made[0].to(param.device) for param in part.tensors.params] for part in parts]


class _Adam(CriticalOptimizer):
    rule = "adam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        capacity: int = 5,
        decay: float = 0.7,
        priority: str = "gradient",
        scope: str = "global",
        buffer_dtype: str | torch.dtype | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "capacity": capacity,
            "decay": decay,
            "priority": priority,
            "scope": scope,
            "buffer_dtype": buffer_dtype,
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
        }
        super().__init__(params, defaults)


class _SGD(CriticalOptimizer):
    rule = "sgd"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        capacity: int = 5,
        decay: float = 0.7,
        priority: str = "gradient",
        scope: str = "global",
        buffer_dtype: str | torch.dtype | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "capacity": capacity,
            "decay": decay,
            "priority": priority,
            "scope": scope,
            "buffer_dtype": buffer_dtype,
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
        }
        super().__init__(params, defaults)


class AdamCM(_Adam):
    """Adam with critical momenta (Adam+CM).

    m ← β₁·m + (1−β₁)·g;  a = m + mean of the buffered momenta;  v ← β₂·v + (1−β₂)·a²
    θ ← (1 − α·wd)·θ − α·(a/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε)

    The buffer keeps the `capacity` momenta of the highest priority: ‖g‖₂ when they were stored, times `decay` for
    every step since. With `capacity=0` this is `torch.optim.AdamW`.

    Args:
        params: parameters or parameter groups.
        lr: learning rate α, a number or a 0-dim tensor.
        betas: decay rates (β₁, β₂) in [0, 1).
        eps: ε, added outside the root.
        weight_decay: decoupled, wd.
        capacity: number of entries C.
        decay: λ in (0, 1].
        priority: `"gradient"`, `"momentum"` (norm of what is stored) or `"fifo"` (the oldest goes).
        scope: `"global"` (one norm and decision for the whole model), `"per_tensor"`, or `"lane"` (the leading
            dimension of every parameter indexes independent runs).
        buffer_dtype: of the entries, e.g. `torch.bfloat16` for half the memory; their sum stays in float32. By default
            the parameters'.
        maximize: ascend instead.
        foreach: many tensors at once (the default), or with False one after the other.
        fused: one compiled pass over each large tensor; where there is no compiler, foreach with a warning. It stores
            a momentum only in the next step, or when the state is asked for by `state_dict`, a copy or `buffer_stats`.

    Raises `ValueError` naming the value it refuses; `RuntimeError` for complex parameters and sparse gradients.
    State per float32 parameter: 12 + 4·C bytes, or 12 + 2·C with bfloat16 entries.
    Source: Eq. 4–7 and Algorithm 1 of "Promoting Exploration in Memory-Augmented Adam using Critical Momenta".
    """

    memory = "cm"


class AdamCG(_Adam):
    """Adam with critical gradients (Adam+CG, McRae et al. 2022).

    a = g + mean of the buffered gradients;  m ← β₁·m + (1−β₁)·a;  v ← β₂·v + (1−β₂)·a²; then Adam's step with m, v.

    Arguments, errors and state as `AdamCM`; the buffer keeps gradients. Source: Eq. 3.
    """

    memory = "cg"


class SGDCM(_SGD):
    """Gradient descent with critical momenta (SGD+CM).

    m ← β·m + (1−β)·g;  θ ← θ − α·(m + mean of the buffered momenta), with β = `momentum`.

    `weight_decay` is torch's L2: it is part of g, its norm included. With `capacity=0` this is torch's SGD with
    momentum β and learning rate (1−β)·α. Other arguments and errors as `AdamCM`.
    State per float32 parameter: 8 + 4·C bytes. Source: Eq. 4 and 8.
    """

    memory = "cm"

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1e-3, momentum: float = 0.9, **kwargs: Any) -> None:
        super().__init__(params, lr, momentum, **kwargs)


class SGDCG(_SGD):
    """Gradient descent with critical gradients (SGD+CG, McRae et al. 2022).

    a = g + mean of the buffered gradients;  θ ← θ − α·a, or with `momentum` torch's u ← momentum·u + a, θ ← θ − α·u.

    Arguments and errors as `SGDCM`. State per float32 parameter: 4 + 4·C bytes, 4 more with momentum.
    Source: Eq. 10.
    """

    memory = "cg"
