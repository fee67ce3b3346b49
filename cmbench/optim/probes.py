"""The probes: optimizers that take the gradient somewhere else than at θ and hand it to the optimizer they wrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from cmbench.optim.buffer import per_lane
from cmbench.optim.registry import HYPERPARAMETERS
from cmbench.optim.sharded import local, refuse_a_part, whole_norms
from cmbench.optim.wrapper import Wrapper


@contextmanager
def frozen_batch_statistics() -> Iterator[None]:
    """While it is open, training-mode batch normalisation uses its batch's statistics but does not record them."""
    frozen: list[_BatchNorm] = []

    def before(module: nn.Module, _: Any) -> None:
        # The first module called is the outermost one: all that a (possibly compiled) model holds is found from it.
        for inner in module.modules():
            if isinstance(inner, _BatchNorm) and inner.track_running_stats:
                inner.track_running_stats = False
                frozen.append(inner)

    hook = nn.modules.module.register_module_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()
        for module in frozen:
            module.track_running_stats = True


class Probe(Wrapper):
    """Wraps the optimizer `base`, whose parameter groups and state it shows as its own.

    `step(closure)` evaluates the closure twice: at θ, and at the probe point, whose gradient `base` gets, back at θ.
    The closure follows torch's convention: it zeroes the gradients, computes the loss, calls `backward()`, returns it.
    """

    def _offsets(self) -> list[tuple[Tensor, Tensor]]:
        """This process's part of every parameter that has a gradient, with the way from it to the probe point."""
        raise NotImplementedError

    def _with_gradient(self) -> list[tuple[dict[str, Any], Tensor, Tensor]]:
        """Group, parameter and gradient of those that have one."""
        found = [(group, p, p.grad) for group in self.param_groups for p in group["params"] if p.grad is not None]
        if any(grad.is_sparse for _, _, grad in found):
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        return found

    @torch.no_grad()
    def step(  # type: ignore[override]
        self,
        closure: Callable[[], Tensor] | None = None,
        *,
        first: Callable[[], AbstractContextManager[Any]] = nullcontext,
        scaler: GradScaler | None = None,
    ) -> Tensor:
        """One step of the wrapped optimizer with the gradient at the probe point; returns the loss at θ.

        Args:
            closure: evaluates loss and gradient, see the class.
            first: makes a context for the evaluation at θ. `ddp_model.no_sync` there lets every process probe along
                its own gradient (m-sharpness, Foret et al. 2021, section 4.1) and saves one communication.
            scaler: the `torch.amp.GradScaler` by which the closure has scaled the loss that it calls `backward` on.
                The step is skipped where either gradient overflows; call `scaler.update()` after it, and neither
                `scaler.step` nor `scaler.unscale_`.
        """
        if closure is None:
            raise RuntimeError(
                f"{type(self).__name__}.step needs a closure that zeroes the gradients, computes the loss, calls "
                "backward() and returns the loss: it evaluates the gradient twice"
            )
        with torch.enable_grad(), first():
            loss = closure()
        if scaler is not None:
            scaler.unscale_(self)
        moved = self._offsets()
        # A copy and not a subtraction: the parameters must come back bit for bit.
        origins = [param.clone() for param, _ in moved]
        try:
            # An offset from a gradient that is not finite is not either, and nor will be the gradient there: what
            # watches over the second evaluation sees an overflow in the first.
            for param, offset in moved:
                param.add_(offset)
            with torch.enable_grad(), frozen_batch_statistics():
                closure()
        finally:
            for (param, _), origin in zip(moved, origins, strict=True):
                param.copy_(origin)
        if scaler is None:
            self.base.step()
        else:
            scaler.step(self.base)
        return loss


class SAM(Probe):
    """Sharpness-aware minimisation (Foret et al. 2021): the gradient is taken at θ + ρ·g/‖g‖₂.

    Args:
        base: the optimizer that takes the step; any `torch.optim.Optimizer`.
        rho: length of the step to the probe, ρ >= 0. A zero gradient stays where it is.
        scope: over what ‖g‖ is taken (`"global"`, `"per_tensor"`, `"lane"`); by default as in `base`, else global.

    `SAM(AdamCM(model.parameters()), rho=0.05).step(closure)`
    """

    def __init__(self, base: Optimizer, rho: float = 0.05, scope: str | None = None) -> None:
        super().__init__(base, rho=rho)
        self._scope = HYPERPARAMETERS["scope"].validated(scope or base.defaults.get("scope", "global"))
        refuse_a_part(self._scope)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_scope": self._scope}

    def _offsets(self) -> list[tuple[Tensor, Tensor]]:
        found = self._with_gradient()
        if not found:
            return []
        params, grads = [local(p) for _, p, _ in found], [local(grad) for *_, grad in found]
        values = whole_norms(grads, [p for _, p, _ in found], self._scope)
        if self._scope != "per_tensor":
            values = values * len(found)
        offsets = []
        for (group, _, _), param, grad, norm in zip(found, params, grads, values, strict=True):
            rho = -group["rho"] if group.get("maximize") else group["rho"]
            length = torch.where(norm > 0, rho / norm, 0).to(param.device)
            # NaN compares false: without this a NaN gradient would count as a zero one.
            length = torch.where(norm.to(param.device).isnan(), norm.to(param.device), length)
            offsets.append((param, grad * per_lane(length, param)))
        return offsets


class MEG(Probe):
    """Momentum extragradient (Kim et al. 2022): the gradient is taken at θ − γ·g.

    Args:
        base: the optimizer that takes the step; any `torch.optim.Optimizer`.
        gamma: step size of the extrapolation, γ >= 0.
    """

    def __init__(self, base: Optimizer, gamma: float = 0.01) -> None:
        super().__init__(base, gamma=gamma)

    def _offsets(self) -> list[tuple[Tensor, Tensor]]:
        return [
            (local(param), local(grad) * (group["gamma"] if group.get("maximize") else -group["gamma"]))
            for group, param, grad in self._with_gradient()
        ]
