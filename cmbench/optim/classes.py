"""Each rule with each memory as a class: with its signature for those of the paper, made when asked for otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from cmbench.optim.critical import CriticalOptimizer
from cmbench.optim.hyperparameters import Priority, Scope
from cmbench.optim.memories import MEMORIES
from cmbench.optim.registry import get_info
from cmbench.optim.rules import RULES


class _Critical(CriticalOptimizer):
    """Takes every hyperparameter by its name; those that are left out have the registry's defaults."""

    def __init__(
        self,
        params: Iterable[Any],
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        **hyperparameters: Any,
    ) -> None:
        info = get_info(f"{self.rule}_{self.memory}")
        values = info.defaults | info.resolve(hyperparameters)
        super().__init__(params, values | {"maximize": maximize, "foreach": foreach, "fused": fused})


class _Adam(_Critical):
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
        priority: Priority = "gradient",
        scope: Scope = "global",
        buffer_dtype: str | torch.dtype | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        **of_memory: Any,
    ) -> None:
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, capacity=capacity, decay=decay,
            priority=priority, scope=scope, buffer_dtype=buffer_dtype, maximize=maximize, foreach=foreach, fused=fused,
            **of_memory,
        )  # fmt: skip


class AdamCM(_Adam):
    """Adam with critical momenta (Adam+CM).

    m ← β₁·m + (1−β₁)·g;  a = m + mean of the buffered momenta;  v ← β₂·v + (1−β₂)·a²;
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
        priority: `"gradient"`, `"momentum"` (norm of what is stored), `"fifo"` (the oldest goes), or `"random"`: a
            number in (0, 1) in place of the norm, which severs the ranking from the gradient. It is a function of the
            step, and of the tensor or lane where these decide for themselves: a lane does not do what it would alone.
        scope: `"global"` (one norm and decision for the whole model), `"per_tensor"`, or `"lane"` (the leading
            dimension of every parameter indexes independent runs). Under `ZeroRedundancyOptimizer`, which gives each
            process some of the parameters, only `"per_tensor"` is accepted.
        buffer_dtype: of the entries, e.g. `torch.bfloat16` for half the memory; their sum stays in float32. By default
            the parameters'.
        maximize: ascend instead.
        foreach: many tensors at once (the default), or with False one after the other.
        fused: one compiled pass over memory; where there is no compiler, foreach with a warning. It stores a momentum
            only in the next step, or when the state is asked for by `state_dict`, a copy or `buffer_stats`. With lanes
            one compiled function for all of a parameter's, on a CPU, else one tensor after the other.
        first_step: `"paper"`, or `"authors"`, of critical momenta alone: as in the code that the paper's authors have
            released, the first gradient of a parameter enters the buffer, no momentum, and moves nothing.

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


class _SGD(_Critical):
    rule = "sgd"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float | None = None,
        weight_decay: float = 0.0,
        *,
        capacity: int = 5,
        decay: float = 0.7,
        priority: Priority = "gradient",
        scope: Scope = "global",
        buffer_dtype: str | torch.dtype | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        **of_memory: Any,
    ) -> None:
        given = {} if momentum is None else {"momentum": momentum}
        super().__init__(
            params, lr=lr, weight_decay=weight_decay, capacity=capacity, decay=decay, priority=priority, scope=scope,
            buffer_dtype=buffer_dtype, maximize=maximize, foreach=foreach, fused=fused, **given, **of_memory,
        )  # fmt: skip


class SGDCM(_SGD):
    """Gradient descent with critical momenta (SGD+CM).

    m ← β·m + (1−β)·g;  θ ← θ − α·(m + mean of the buffered momenta), with β = `momentum`, 0.9 by default.

    `weight_decay` is torch's L2: it is part of g, its norm included. With `capacity=0` this is torch's SGD with
    momentum β and learning rate (1−β)·α. Other arguments and errors as `AdamCM`.
    State per float32 parameter: 8 + 4·C bytes. Source: Eq. 4 and 8.
    """

    memory = "cm"


class SGDCG(_SGD):
    """Gradient descent with critical gradients (SGD+CG, McRae et al. 2022).

    a = g + mean of the buffered gradients;  θ ← θ − α·a, or with `momentum` torch's u ← momentum·u + a, θ ← θ − α·u.

    Arguments and errors as `SGDCM`, but `momentum` is 0 by default. State per float32 parameter: 4 + 4·C bytes, 4 more
    with momentum. Source: Eq. 10.
    """

    memory = "cg"


def class_of(rule: str, memory: str) -> type[CriticalOptimizer]:
    """The class of a rule with a memory, by their keys."""
    name = f"{RULES[rule].title}{MEMORIES[memory].title}"
    found = globals().get(name)
    if found is None:
        found = _made(name, rule, memory)
    assert issubclass(found, CriticalOptimizer)
    return found


def __getattr__(name: str) -> Any:
    """The classes that are made when asked for, as pickle asks for them: `RMSpropCM` for a rule titled `RMSprop`."""
    for rule in RULES.values():
        for memory in MEMORIES.values():
            if name == f"{rule.title}{memory.title}":
                return _made(name, rule.key, memory.key)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _made(name: str, rule: str, memory: str) -> type[CriticalOptimizer]:
    info = get_info(f"{rule}_{memory}")
    meanings = "".join(f"        {each.name}: {each.description}.\n" for each in info.hyperparameters.values())
    doc = (
        f"{info.title}: {info.description}.\n\n    {inspect.cleandoc(RULES[rule].__doc__ or '')}\n\n"
        f"    Args:\n        params: parameters or parameter groups.\n{meanings}"
        "        maximize, foreach, fused: as of `AdamCM`.\n"
    )
    made = type(name, (_Critical,), {"rule": rule, "memory": memory, "__doc__": doc, "__module__": __name__})
    globals()[name] = made
    return made
