"""One step of an optimizer, whatever it asks for: a closure evaluated as often as it likes, or a gradient alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from cmbench.optim.errors import UnfitOptimizer
from cmbench.optim.outside import accepts_closure
from cmbench.optim.probes import Probe
from cmbench.optim.wrapper import switch


class Stepper:
    """Makes steps of `optimizer`, counts the gradients that they take, and watches over those of other people.

    `evaluate` of `step` zeroes the gradients, computes loss and gradient, and returns the loss. An optimizer that is
    not registered (`outside`) gets it as a closure where its step takes one. `clip_norm` is applied here where `scaler`
    scales the gradients, else in `evaluate`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Sequence[Tensor],
        scaler: GradScaler | None = None,
        clip_norm: float | None = None,
        *,
        outside: bool = False,
    ) -> None:
        self.optimizer, self.evaluations = optimizer, 0
        self._parameters, self._scaler, self._clip_norm = parameters, scaler, clip_norm
        self._shapes = [(p.shape, p.dtype) for p in parameters] if outside else None
        self._hands_closure = outside and scaler is None and accepts_closure(optimizer)
        self._switch("train")

    def step(self, evaluate: Callable[[], Tensor]) -> Tensor:
        """One step; returns the loss before it. Raises `UnfitOptimizer` for one that breaks its model."""

        def counted() -> Tensor:
            self.evaluations += 1
            # A step that is decorated with `no_grad` may call its closure as it is.
            with torch.enable_grad():
                return evaluate()

        with self._surviving("step"):
            loss = self._stepped(counted)
        if self._scaler is not None:
            self._scaler.update()
        if self._shapes is not None and self._shapes != [(p.shape, p.dtype) for p in self._parameters]:
            raise UnfitOptimizer(
                f"{type(self.optimizer).__name__}.step has changed the shape or type of its parameters"
            )
        return loss

    def _stepped(self, evaluate: Callable[[], Tensor]) -> Tensor:
        optimizer, scaler = self.optimizer, self._scaler
        if isinstance(optimizer, Probe):
            return cast(Tensor, optimizer.step(evaluate, scaler=scaler))
        if self._hands_closure:
            return self._handed(evaluate)
        loss = evaluate()
        if scaler is None:
            optimizer.step()
            return loss
        if self._clip_norm:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        scaler.step(optimizer)
        return loss

    def _handed(self, evaluate: Callable[[], Tensor]) -> Tensor:
        losses: list[Tensor] = []

        def closure() -> Tensor:
            losses.append(evaluate())
            return losses[-1]

        self.optimizer.step(closure)  # type: ignore[arg-type]  # torch's annotation says float, its optimizers tensor
        if not losses:
            raise UnfitOptimizer(f"{type(self.optimizer).__name__}.step(closure) has not called its closure")
        return losses[0]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """While it is open the parameters are those to be evaluated, of an optimizer that trains with others."""
        self._switch("eval")
        try:
            yield
        finally:
            self._switch("train")

    def _switch(self, mode: Literal["train", "eval"]) -> None:
        with self._surviving(mode):
            switch(self.optimizer, mode)

    @contextmanager
    def _surviving(self, method: str) -> Iterator[None]:
        """An optimizer that ends the process ends its run only."""
        try:
            yield
        except SystemExit as end:
            raise UnfitOptimizer(f"{type(self.optimizer).__name__}.{method} ends the process: {end.code}") from None
