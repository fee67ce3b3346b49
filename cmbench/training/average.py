"""The exponential moving average of a model's weights, kept beside them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cmbench.experiments.settings import AverageSettings


class Average:
    """w̄ ← `decay`·w̄ + (1 − `decay`)·w after every step from the one after `from_step` on, where it begins with w̄ = w.

    Running statistics (batch normalisation) are averaged as weights are; what is not a float, as the number of batches
    seen, is copied. `model` holds it all, on the device of what it averages.

    Why not `torch.optim.swa_utils.AveragedModel`, whose arithmetic this is: it looks at a counter on every step, and
    copies that between host and device.
    """

    def __init__(self, settings: AverageSettings, of: nn.Module) -> None:
        self._settings, self._step = settings, 0
        self._update = get_ema_multi_avg_fn(settings.decay)  # type: ignore[no-untyped-call]  # torch has no types
        self.model = copy.deepcopy(of).requires_grad_(False).eval()
        pairs = zip(_tensors(self.model), _tensors(of), strict=True)
        self._pairs: dict[bool, list[tuple[Tensor, Tensor]]] = {True: [], False: []}
        for pair in pairs:
            self._pairs[pair[0].is_floating_point()].append(pair)

    @property
    def has_begun(self) -> bool:
        """Whether it is an average of anything yet."""
        return self._step > self._settings.from_step

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Takes in the weights as they are after `step` steps."""
        self._step = step
        if not self.has_begun:
            return
        averaged, current = zip(*self._pairs[True], strict=True)
        if step == self._settings.from_step + 1:
            torch._foreach_copy_(averaged, current)
        else:
            self._update(averaged, current, step)
        for copied, value in self._pairs[False]:
            copied.copy_(value)

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on from here."""
        return {"step": self._step, "model": self.model.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Takes up what `state` has returned."""
        self._step = state["step"]
        self.model.load_state_dict(state["model"])


def _tensors(model: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]
