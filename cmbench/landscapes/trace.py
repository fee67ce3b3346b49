"""Gradient cancellation: what one step adds up, and how much of it is lost in the sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cmbench.optim.state import BufferedOptimizer


@dataclass(frozen=True)
class Trace:
    """What an optimizer with a memory added up in step `step` (counted from 1), for L lanes; on the CPU.

    `position` (L, D) before the step; `entries` (C, L, D) of the buffer as it was, zero where `filled` (C, L) is
    false; `new` (L, D) the gradient (cg) or momentum (cm) of this step.
    """

    step: int
    position: Tensor
    entries: Tensor
    filled: Tensor
    new: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean (L, D) of the entries present."""
        return self.entries.sum(0) / self._count.unsqueeze(-1)

    @property
    def cancellation(self) -> Tensor:
        """1 − ‖new + mean‖ / (‖new‖ + mean of ‖entries‖), shape (L,).

        0 when the new gradient or momentum and all entries point one way, 1 when nothing of them is left in the sum.
        """
        parts = self.new.norm(dim=-1) + self.entries.norm(dim=-1).sum(0) / self._count
        left: Tensor = (self.new + self.mean).norm(dim=-1) / parts
        return 1 - left

    def of(self, lanes: slice) -> Trace:
        """The trace of some of the lanes."""
        return Trace(self.step, self.position[lanes], self.entries[:, lanes], self.filled[:, lanes], self.new[lanes])

    @property
    def _count(self) -> Tensor:
        return self.filled.sum(0).clamp(min=1)


@dataclass(frozen=True)
class Before:
    """The buffer as it was before a step; `after` completes it to a trace."""

    position: Tensor
    entries: Tensor
    filled: Tensor

    def after(self, step: int, optimizer: Optimizer, x: Tensor) -> Trace:
        """The trace of the step that was just taken: what it had to store is the momentum, or the gradient."""
        base: Any = getattr(optimizer, "base", optimizer)
        stored: Any = optimizer.state[x]["exp_avg"] if base.memory == "cm" else x.grad
        return Trace(step, self.position, self.entries, self.filled, stored.detach().cpu().clone())


def observe(optimizer: Optimizer, x: Tensor) -> Before | None:
    """The buffer of `x` before a step; None for an optimizer that has no memory."""
    base = getattr(optimizer, "base", optimizer)
    if not isinstance(base, BufferedOptimizer) or base.defaults["capacity"] == 0:
        return None
    state = optimizer.state.get(x, {})
    slots = [state[f"slot_{k}"] for k in range(base.defaults["capacity"])] if state else [torch.zeros_like(x)]
    filled = state["priorities"] > -torch.inf if state else torch.zeros(1, len(x), dtype=torch.bool)
    return Before(x.detach().cpu().clone(), torch.stack(slots).detach().cpu(), filled.detach().cpu().clone())
