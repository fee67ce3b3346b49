"""Two optimizers that share a model's parameters: one that takes some of them, and a companion for the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Split(Optimizer):
    """Steps of `base` and of `rest`, each on parameters of its own; shows the groups and the state of both.

    What Muon needs, which takes matrices only: `Split(Muon(matrices), AdamW(others))`.
    """

    def __init__(self, base: Optimizer, rest: Optimizer) -> None:
        self.base, self.rest = base, rest
        super().__init__([*base.param_groups, *rest.param_groups], {})

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both."""
        return [*self.base.param_groups, *self.rest.param_groups]

    @param_groups.setter
    def param_groups(self, _: Any) -> None: ...

    @property
    def state(self) -> defaultdict[Tensor, Any]:
        """That of both."""
        return defaultdict(dict, {**self.base.state, **self.rest.state})

    @state.setter
    def state(self, _: Any) -> None: ...

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Raises `NotImplementedError`: whose it would be is not known; add it to `base` or to `rest`."""
        if not any(param_group is group for group in self.param_groups):  # torch's constructor adds what is there
            raise NotImplementedError("add the group to `base` or to `rest`")

    def __getstate__(self) -> dict[str, Any]:
        return {"base": self.base, "rest": self.rest, "defaults": self.defaults}

    def state_dict(self) -> dict[str, Any]:
        """`{"base": …, "rest": …}`"""
        return {"base": self.base.state_dict(), "rest": self.rest.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads what `state_dict` returned."""
        self.base.load_state_dict(state_dict["base"])
        self.rest.load_state_dict(state_dict["rest"])

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One step of both; returns the closure's loss where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.base.step()
        self.rest.step()
        return loss
