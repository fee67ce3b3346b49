"""The memory-augmented optimizers: state, parameter groups and the order of a step; the arithmetic is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from cmbench.optim import plain
from cmbench.optim.buffer import Decision, Ranking, decide, norms, replace
from cmbench.optim.registry import HYPERPARAMETERS

_SHARED = ("capacity", "decay", "priority", "scope")
_RANKING = ("priorities", "ages")


class CriticalOptimizer(Optimizer):
    """What AdamCM, AdamCG, SGDCM and SGDCG have in common.

    The state of a parameter holds, besides what its rule keeps, the buffer's entries as `slot_0` … `slot_{C−1}`, their
    sum as `buffer_sum`, and the ranking as `priorities` and `ages`. Where one decision serves many parameters
    (`scope` global or lane) they share one ranking.

    A parameter that had no gradient when an entry was stored is zero in that entry.
    """

    rule: ClassVar[str]
    memory: ClassVar[str]

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        # One stacked (C, *shape) tensor per parameter; the slots in `state` are views of it. Rebuilt when missing.
        self._stacks: dict[Tensor, Tensor] = {}
        super().__init__(params, {**defaults, "maximize": bool(defaults["maximize"])})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """torch's, with every hyperparameter checked; the buffer's own are the same in all groups."""
        for name, value in param_group.items():
            if name in HYPERPARAMETERS:
                param_group[name] = HYPERPARAMETERS[name].validated(value)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for name in self.defaults:
            if name in HYPERPARAMETERS:
                group[name] = HYPERPARAMETERS[name].validated(group[name])
        for name in _SHARED:
            if group[name] != self.param_groups[0][name]:
                self.param_groups.pop()
                raise ValueError(
                    f"invalid {name}: {group[name]!r} (accepted: {self.param_groups[0][name]!r}, as in the first "
                    "group: all groups share one buffer policy)"
                )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._stacks = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """torch's, and then what it casts to the parameter's dtype back as it was; rankings are shared again."""
        super().load_state_dict(state_dict)
        self._stacks = {}
        saved_ids = [i for group in state_dict["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        shared: dict[str, Tensor] = {}
        for saved_id, param in zip(saved_ids, params, strict=True):
            for key, value in state_dict["state"].get(saved_id, {}).items():
                if not isinstance(value, Tensor):
                    continue
                own = value.detach().to(device=param.device, copy=True)
                if key in _RANKING and self.param_groups[0]["scope"] != "per_tensor":
                    own = shared.setdefault(key, own)
                self.state[param][key] = own

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

        collected = [self._collect(group) for group in self.param_groups]
        if not any(tensors.params for tensors in collected):
            return loss
        first = self.param_groups[0]
        entries = [
            plain.observe(tensors, self.memory, self._momentum(group))
            for tensors, group in zip(collected, self.param_groups, strict=True)
        ]
        decisions: list[list[Decision] | None] = [None] * len(collected)
        if first["capacity"] > 0:
            decisions = self._decide(collected, entries)
        for tensors, entry, decision, group in zip(collected, entries, decisions, self.param_groups, strict=True):
            plain.apply(
                tensors,
                entry,
                decision,
                rule=self.rule,
                memory=self.memory,
                momentum=self._momentum(group),
                group=group,
            )
        return loss

    def _momentum(self, group: dict[str, Any]) -> float:
        return group["betas"][0] if self.rule == "adam" else group["momentum"]

    def _collect(self, group: dict[str, Any]) -> plain.Tensors:
        """The tensors of the parameters that have a gradient, their state made where it is their first."""
        tensors = plain.Tensors()
        for param in group["params"]:
            if param.grad is None:
                continue
            if param.is_complex() or param.grad.is_sparse:
                kind = "complex parameters" if param.is_complex() else "sparse gradients"
                raise RuntimeError(f"{type(self).__name__} does not support {kind}")
            state = self.state[param]
            if not state:
                self._initialise(param, group)
            grad = -param.grad if group["maximize"] else param.grad
            if self.rule == "sgd" and group["weight_decay"] != 0:
                grad = grad.add(param, alpha=group["weight_decay"])
            tensors.params.append(param)
            tensors.grads.append(grad)
            if "exp_avg" in state:
                tensors.momenta.append(state["exp_avg"])
            if "exp_avg_sq" in state:
                tensors.squares.append(state["exp_avg_sq"])
            if group["capacity"] > 0:
                tensors.totals.append(state["buffer_sum"])
                tensors.slots.append(self._stack(param, group["capacity"]))
            tensors.steps.append(state["step"])
        return tensors

    def _initialise(self, param: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        wide = torch.promote_types(param.dtype, torch.float32)
        state["step"] = torch.zeros((), dtype=wide, device=param.device)
        if self.rule == "adam" or self.memory == "cm" or group["momentum"] > 0:
            state["exp_avg"] = torch.zeros_like(param, memory_format=torch.preserve_format)
        if self.rule == "adam":
            state["exp_avg_sq"] = torch.zeros_like(param, memory_format=torch.preserve_format)
        capacity = group["capacity"]
        if capacity > 0:
            state["buffer_sum"] = torch.zeros_like(param, dtype=wide, memory_format=torch.preserve_format)
            self._stacks[param] = param.new_zeros((capacity, *param.shape))
            state |= {f"slot_{k}": self._stacks[param][k] for k in range(capacity)}
            ranking = self._ranking_of_others(param) if group["scope"] != "per_tensor" else None
            if ranking is None:
                lanes = param.shape[0] if group["scope"] == "lane" else None
                ranking = Ranking.empty(capacity, lanes, wide, param.device)
            state |= {"priorities": ranking.priorities, "ages": ranking.ages}

    def _ranking_of_others(self, param: Tensor) -> Ranking | None:
        for other, state in self.state.items():
            if other is not param and "priorities" in state:
                return Ranking(state["priorities"], state["ages"])
        return None

    def _stack(self, param: Tensor, capacity: int) -> Tensor:
        if param not in self._stacks:
            state = self.state[param]
            self._stacks[param] = torch.stack([state[f"slot_{k}"] for k in range(capacity)])
            state |= {f"slot_{k}": self._stacks[param][k] for k in range(capacity)}
        return self._stacks[param]

    def _decide(self, collected: list[plain.Tensors], entries: list[list[Tensor]]) -> list[list[Decision]]:
        """One decision per tensor of each group (the same one everywhere, unless the scope is per_tensor)."""
        first = self.param_groups[0]
        scope, priority = first["scope"], first["priority"]
        ranked = entries if priority == "momentum" else [tensors.grads for tensors in collected]
        params = [p for tensors in collected for p in tensors.params]
        values = norms([t for group in ranked for t in group], scope)
        owners = params if scope == "per_tensor" else params[:1]
        made = [self._decide_one(owner, norm) for owner, norm in zip(owners, values, strict=True)]
        if scope != "per_tensor":
            self._forget_absent(made[0])
            made = made * len(params)
        decisions = iter(made)
        return [[next(decisions) for _ in tensors.params] for tensors in collected]

    def _decide_one(self, owner: Tensor, norm: Tensor) -> Decision:
        group, state = self.param_groups[0], self.state[owner]
        ranking = Ranking(state["priorities"], state["ages"])
        return decide(ranking, norm.to(ranking.priorities), group["priority"], group["decay"])

    def _forget_absent(self, decision: Decision) -> None:
        """A parameter without a gradient now is zero in the new entry: what it had in the replaced one goes."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None and "buffer_sum" in self.state.get(param, {}):
                    total = self.state[param]["buffer_sum"]
                    slots = self._stack(param, group["capacity"])
                    replace(slots, total, torch.zeros_like(total), decision.to(param.device))


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
        maximize: bool = False,
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
            "maximize": maximize,
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
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "capacity": capacity,
            "decay": decay,
            "priority": priority,
            "scope": scope,
            "maximize": maximize,
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
        maximize: ascend instead.

    Raises `ValueError` naming the value it refuses; `RuntimeError` for complex parameters and sparse gradients.
    State per float32 parameter: 12 + 4·C bytes.
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
