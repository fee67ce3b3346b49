"""Critical gradients, and critical momenta, over any optimizer: it is handed the aggregate in place of its own."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cmbench.optim.classes import class_of
from cmbench.optim.critical import CriticalOptimizer
from cmbench.optim.stats import BufferStats
from cmbench.optim.wrapper import Wrapper


class MemoryOver(Wrapper):
    """Wraps the optimizer `base`, which gets the gradient g + mean of the buffered gradients (Eq. 3) for its own.

    The buffer is that of SGD+CG: what that would move is the aggregate. For it this wrapper keeps a tensor of each
    parameter's size beside the buffer's C + 1.

    Args:
        base: the optimizer that takes the step; any `torch.optim.Optimizer` whose step needs no closure.
        momentum: for critical momenta instead: the decay rate β of the state `exp_avg` of `base`, see `decay_of_mean`.
            Before each step `exp_avg` is set so that the step updates it to m + mean of the buffered momenta, with
            m ← β·m + (1−β)·g. This goes beyond the paper: what else `base` makes of g, a second moment, it makes of g.
        policy: capacity, decay, priority, scope and buffer_dtype, as of `AdamCM`.
    """

    def __init__(self, base: Optimizer, *, momentum: float | None = None, **policy: Any) -> None:
        self._momentum = momentum
        self._policy = policy
        self._carriers: dict[Tensor, Tensor] = {}
        self.buffer: CriticalOptimizer | None = None
        super().__init__(base)
        # Not among the groups' hyperparameters: a probe around this one takes its norms over the same scope.
        self.defaults["scope"] = policy.get("scope", "global")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds the group to the wrapped optimizer, and its parameters to the buffer.

        Raises `ValueError` for one with a decay rate of its own under critical momenta.
        """
        own = [name for name in ("betas", "maximize") if param_group.get(name) != self.base.defaults.get(name)]
        if self._momentum is not None and (own := [name for name in own if name in param_group]):
            raise ValueError(f"invalid {own[0]}: {param_group[own[0]]!r} (accepted: as in all other groups)")
        super().add_param_group(param_group)
        added = [p for group in self.param_groups for p in group["params"] if p not in self._carriers]
        self._carriers |= {param: torch.zeros_like(param) for param in added}
        if self.buffer is not None:
            self.buffer.add_param_group({"params": [self._carriers[param] for param in added]})
            return
        kind: Any = class_of("sgd", "cg" if self._momentum is None else "cm")
        momentum = 0.0 if self._momentum is None else self._momentum
        self.buffer = kind([self._carriers[param] for param in added], lr=1.0, momentum=momentum, **self._policy)

    def __getstate__(self) -> dict[str, Any]:
        own = ("_momentum", "_policy", "_carriers", "buffer")
        return super().__getstate__() | {name: getattr(self, name) for name in own}

    def _saved(self) -> dict[str, Any]:
        """That of the wrapped optimizer, and under `memory` that of the buffer."""
        return super()._saved() | {"memory": self._buffer.state_dict()}

    def _load(self, saved: dict[str, Any]) -> None:
        """One without `memory` is that of `base` alone: the buffer starts empty, and a `UserWarning` says so."""
        of_base = {key: value for key, value in saved.items() if key != "memory"}
        buffer = self._buffer
        buffer._settle()  # an entry that is held back is part of what was there
        before, accepted = {"state": buffer.state, "param_groups": buffer.param_groups}, buffer._accepted_before
        if "memory" in saved:
            buffer.load_state_dict(saved["memory"])
        else:
            buffer.__setstate__({**before, "state": defaultdict(dict)})
        try:
            super()._load(of_base)
        except Exception:
            buffer.__setstate__(before)  # whatever `base` refuses, nothing is changed
            buffer._accepted_before = accepted
            raise
        self.defaults["scope"] = buffer.param_groups[0]["scope"]
        if "memory" not in saved:
            warnings.warn("the state has no memory: the buffer starts empty", stacklevel=2)

    @property
    def _buffer(self) -> CriticalOptimizer:
        if self.buffer is None:
            raise RuntimeError("a memory without parameters")
        return self.buffer

    def buffer_stats(self) -> BufferStats | None:
        """As of `AdamCM`."""
        return self._buffer.buffer_stats()

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One step of the wrapped optimizer with the aggregate; returns the closure's loss where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        params = [param for group in self.param_groups for param in group["params"]]
        for param in params:
            self._carriers[param].grad = self._observed(param)
        active = [param for param in params if param.grad is not None]
        if not active:
            return loss
        carriers = [self._carriers[param] for param in active]
        torch._foreach_zero_(carriers)
        self._buffer.step()
        torch._foreach_neg_(carriers)
        if self._momentum is None:
            self._step_with_gradients(active, carriers)
        else:
            self._foresee_momenta(active, carriers, self._momentum)
            self.base.step()
        return loss

    def _observed(self, param: Tensor) -> Tensor | None:
        """The gradient that `base` makes its momentum of."""
        negated = self._momentum is not None and self.base.defaults.get("maximize")
        return -param.grad if negated and param.grad is not None else param.grad

    def _step_with_gradients(self, params: Sequence[Tensor], aggregates: Sequence[Tensor]) -> None:
        gradients = [param.grad for param in params]
        try:
            for param, aggregate in zip(params, aggregates, strict=True):
                param.grad = aggregate
            self.base.step()
        finally:
            for param, gradient in zip(params, gradients, strict=True):
                param.grad = gradient

    def _foresee_momenta(self, params: Sequence[Tensor], aggregates: Sequence[Tensor], beta: float) -> None:
        """Sets each `exp_avg` to (a − (1−β)·g)/β, which a step with g turns into a."""
        for param, aggregate in zip(params, aggregates, strict=True):
            # Before its first step `base` has no state: the buffer is empty then, and a = m is what it makes itself.
            gradient = self._carriers[param].grad
            if gradient is not None and "exp_avg" in self.state[param]:
                self.state[param]["exp_avg"].copy_(aggregate.sub(gradient, alpha=1 - beta).div_(beta))


def decay_of_mean(build: Callable[[list[Tensor]], Optimizer]) -> float | None:
    """β where the optimizer keeps `exp_avg` ← β·exp_avg + (1−β)·g, 0 at first; None where it does not.

    Found by three steps on numbers of its own.
    """
    param = torch.zeros(2, 2, requires_grad=True)
    optimizer = build([param])
    generator = torch.Generator().manual_seed(0)
    means, grads = [torch.zeros(2, 2)], []
    for _ in range(3):
        with torch.no_grad():
            param.zero_()  # no weight decay
        param.grad = torch.randn(2, 2, generator=generator)
        grads.append(-param.grad if optimizer.defaults.get("maximize") else param.grad.clone())
        optimizer.step()
        mean = optimizer.state[param].get("exp_avg")
        if not isinstance(mean, Tensor) or mean.shape != param.shape:
            return None
        means.append(mean.detach().clone().float())
    beta = float(((means[2] - grads[1]) / (means[1] - grads[1])).mean())
    follows = all(
        torch.allclose(new, old * beta + grad * (1 - beta), atol=1e-5)
        for old, new, grad in zip(means, means[1:], grads, strict=False)
    )
    return round(beta, 5) if follows and 0 < beta < 1 else None
