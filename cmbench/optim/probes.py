"""The probes: optimizers that take the gradient somewhere else than at θ and hand it to the optimizer they wrap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from cmbench.optim.buffer import per_lane
from cmbench.optim.registry import HYPERPARAMETERS
from cmbench.optim.sharded import local, refuse_a_part, whole_norms
from cmbench.optim.state import BufferedOptimizer
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

    Without a closure `first_step()` goes from θ to the probe point, by the gradients that there are, and
    `second_step()` back, to step with those that there are by then: bit for bit the same. In between batch
    normalisation does not record its statistics, and `step_back()` returns without a step.

    Instead of `base` the parameters may be given, and the class that is to be made over them with hyperparameters.
    """

    _moved: tuple[list[tuple[Tensor, Tensor]], ExitStack] | None = None
    """Between the two steps: each parameter's part with what it was, and what to close on the way back."""

    def __init__(
        self,
        base: Optimizer | Iterable[Any],
        base_optimizer: Callable[..., Optimizer] | None,
        of_base: dict[str, Any],
        **hyperparameters: Any,
    ) -> None:
        if base_optimizer is not None:
            if isinstance(base, Optimizer):
                raise TypeError("base_optimizer: accepted: with parameters, and not with an optimizer that is made")
            if not callable(base_optimizer):
                raise TypeError(f"invalid base_optimizer: {base_optimizer!r} (accepted: a class of optimizers)")
            base = base_optimizer(base, **of_base)
        elif of_base:
            raise TypeError(
                f"{type(self).__name__} has no hyperparameter {', '.join(of_base)} (accepted: those of the optimizer, "
                "with parameters and base_optimizer)"
            )
        super().__init__(base, **hyperparameters)

    def __getstate__(self) -> dict[str, Any]:
        if self._moved is not None:
            raise RuntimeError(f"{type(self).__name__} can't be copied between first_step and second_step")
        return super().__getstate__()

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
    ) -> Tensor | None:
        """One step of the wrapped optimizer with the gradient at the probe point; returns the loss at θ.

        Args:
            closure: evaluates loss and gradient, see the class. After `first_step` there is none: it is `second_step`.
            first: makes a context for the evaluation at θ. `ddp_model.no_sync` there lets every process probe along
                its own gradient (m-sharpness, Foret et al. 2021, section 4.1) and saves one communication.
            scaler: the `torch.amp.GradScaler` by which the closure has scaled the loss that it calls `backward` on.
                The step is skipped where either gradient overflows; call `scaler.update()` after it, and neither
                `scaler.step` nor `scaler.unscale_`.
        """
        if closure is None:
            if self._moved is None:
                raise RuntimeError(
                    f"{type(self).__name__}.step needs a closure that zeroes the gradients, computes the loss, calls "
                    "backward() and returns the loss: it evaluates the gradient twice (or first_step() before it)"
                )
            self.second_step(scaler=scaler)
            return None
        self._expect_at_origin("step(closure)")
        with torch.enable_grad(), first():
            loss = closure()
        try:
            self.first_step(scaler=scaler)
            with torch.enable_grad():
                closure()
        except BaseException:
            if self._moved is not None:
                self.step_back()
            raise
        self.second_step(scaler=scaler)
        return loss

    @torch.no_grad()
    def first_step(self, zero_grad: bool = False, *, scaler: GradScaler | None = None) -> None:
        """Goes from θ to the probe point, by the gradients at θ.

        Args:
            zero_grad: whether the gradients are set to None afterwards, for those at the probe point.
            scaler: as of `step`, by which the loss was scaled; give it to `second_step`, too.
        """
        self._expect_at_origin("first_step")
        if scaler is not None:
            scaler.unscale_(self)
        moved = self._offsets()
        # A copy and not a subtraction: the parameters must come back bit for bit.
        origins = [(param, param.clone()) for param, _ in moved]
        frozen = ExitStack()
        frozen.enter_context(frozen_batch_statistics())
        self._moved = origins, frozen
        # An offset from a gradient that is not finite is not either, and nor will be the gradient there: what
        # watches over the second evaluation sees an overflow in the first.
        for param, offset in moved:
            param.add_(offset)
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad: bool = False, *, scaler: GradScaler | None = None) -> None:
        """Goes back to θ, and steps with the gradients at the probe point. Arguments as of `first_step`."""
        self.step_back()
        if scaler is None:
            self.base.step()
        else:
            scaler.step(self.base)
        # What torch's schedules look for, to warn of a training that makes no steps.
        self._opt_called = True
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def step_back(self) -> None:
        """Goes back to θ after `first_step` and does nothing else; raises `RuntimeError` where there was none."""
        if self._moved is None:
            raise RuntimeError(f"{type(self).__name__}: first_step comes before second_step")
        (origins, frozen), self._moved = self._moved, None
        frozen.close()
        for param, origin in origins:
            param.copy_(origin)

    def _expect_at_origin(self, what: str) -> None:
        if self._moved is not None:
            raise RuntimeError(
                f"{type(self).__name__}.{what} after first_step: second_step comes next, or step_back, to do without"
            )


class SAM(Probe):
    """Sharpness-aware minimisation (Foret et al. 2021): the gradient is taken at θ + ρ·g/‖g‖₂.

    Args:
        base: the optimizer that takes the step; any `torch.optim.Optimizer`. Or parameters, for `base_optimizer`.
        base_optimizer: the class of the optimizer that takes the step, made with `of_base`: its hyperparameters.
        rho: length of the step to the probe, ρ >= 0, by default 0.05. A zero gradient stays where it is.
        scope: over what ‖g‖ is taken (`"global"`, `"per_tensor"`, `"lane"`); by default as in `base`, also where that
            loads a state of another one, else global. An optimizer with a memory that is made here decides by the same.

    `SAM(AdamCM(model.parameters(), lr=1e-3), rho=0.05).step(closure)`, or
    `SAM(model.parameters(), AdamCM, rho=0.05, lr=1e-3)`
    """

    def __init__(
        self,
        base: Optimizer | Iterable[Any],
        base_optimizer: Callable[..., Optimizer] | float | None = None,
        rho: float | None = None,
        scope: str | None = None,
        **of_base: Any,
    ) -> None:
        base_optimizer, rho = _by_position(base_optimizer, "rho", rho)
        made_here = isinstance(base_optimizer, type) and issubclass(base_optimizer, BufferedOptimizer)
        if scope is not None and made_here:
            of_base["scope"], scope = scope, None
        self._given_scope = scope
        super().__init__(base, base_optimizer, of_base, rho=rho)
        refuse_a_part(HYPERPARAMETERS["scope"].validated(self._scope))

    @property
    def _scope(self) -> str:
        of_base = self.base.param_groups[0].get("scope") or self.base.defaults.get("scope", "global")
        return self._given_scope or str(of_base)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_given_scope": self._given_scope}

    def _offsets(self) -> list[tuple[Tensor, Tensor]]:
        found = self._with_gradient()
        if not found:
            return []
        params, grads = [local(p) for _, p, _ in found], [local(grad) for *_, grad in found]
        scope = self._scope
        values = whole_norms(grads, [p for _, p, _ in found], scope)
        if scope != "per_tensor":
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
        base, base_optimizer, of_base: as of `SAM`.
        gamma: step size of the extrapolation, γ >= 0, by default 0.01.
    """

    def __init__(
        self,
        base: Optimizer | Iterable[Any],
        base_optimizer: Callable[..., Optimizer] | float | None = None,
        gamma: float | None = None,
        **of_base: Any,
    ) -> None:
        base_optimizer, gamma = _by_position(base_optimizer, "gamma", gamma)
        super().__init__(base, base_optimizer, of_base, gamma=gamma)

    def _offsets(self) -> list[tuple[Tensor, Tensor]]:
        return [
            (local(param), local(grad) * (group["gamma"] if group.get("maximize") else -group["gamma"]))
            for group, param, grad in self._with_gradient()
        ]


def _by_position(
    second: Callable[..., Optimizer] | float | None, name: str, value: float | None
) -> tuple[Callable[..., Optimizer] | None, float]:
    """The class and the hyperparameter: `SAM(base, 0.1)` gives the latter alone. One of them given twice is refused."""
    if not isinstance(second, (int, float)):
        return second, HYPERPARAMETERS[name].default if value is None else value
    if value is not None:
        raise TypeError(f"{name} is given twice: {second!r} and {value!r}")
    return None, float(second)
