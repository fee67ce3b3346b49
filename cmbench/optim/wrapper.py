"""What optimizers that wrap another one have in common: its parameter groups, its state, and the way down to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from cmbench.optim.registry import HYPERPARAMETERS


class Wrapper(Optimizer):
    """Shows the parameter groups and the state of the optimizer `base` as its own.

    `hyperparameters` are those of the wrapper itself; each group has them as well, and may have its own values.
    """

    def __init__(self, base: Any, **hyperparameters: Any) -> None:
        if not isinstance(base, Optimizer):
            raise TypeError(f"invalid base: {base!r} (accepted: an instance of torch.optim.Optimizer)")
        for name, value in hyperparameters.items():
            hyperparameters[name] = HYPERPARAMETERS[name].validated(value)
        self.base = base
        self._own = hyperparameters
        super().__init__(base.param_groups, {**base.defaults, **hyperparameters})

    # Always those of `base`, which replaces its own when it loads a state. torch's constructor and unpickling assign
    # to them: nothing is kept of that.
    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of the wrapped optimizer, with the wrapper's hyperparameters in each."""
        return self.base.param_groups

    @param_groups.setter
    def param_groups(self, _: Any) -> None: ...

    @property
    def state(self) -> defaultdict[Tensor, Any]:
        """That of the wrapped optimizer."""
        return self.base.state

    @state.setter
    def state(self, _: Any) -> None: ...

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds the group to the wrapped optimizer."""
        for name, value in self._own.items():
            param_group[name] = HYPERPARAMETERS[name].validated(param_group.get(name, value))
        if not any(param_group is group for group in self.base.param_groups):  # torch's constructor adds what is there
            self.base.add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        return {"base": self.base, "_own": self._own, "defaults": self.defaults}

    def state_dict(self) -> dict[str, Any]:
        """That of the wrapped optimizer."""
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        saved = self._saved()
        for after in self._optimizer_state_dict_post_hooks.values():
            saved = after(self, saved) or saved
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads what `state_dict` returned, or what `base` can load: without settings of the wrapper these stay.

        Raises `ValueError` for one of them that is refused, before anything is changed; else what `base` raises.
        """
        given = state_dict.copy()
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            given = before(self, given) or given
        groups = [dict(group) for group in given["param_groups"]]
        for group, own in zip(groups, self.param_groups, strict=False):  # if there are more, `base` says so
            for name in self._own:
                group[name] = HYPERPARAMETERS[name].validated(group.get(name, own[name]))
        self._load(given | {"param_groups": groups})
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def _saved(self) -> dict[str, Any]:
        return self.base.state_dict()

    def _load(self, saved: dict[str, Any]) -> None:
        self.base.load_state_dict(saved)


def layers(optimizer: Optimizer) -> Iterator[Optimizer]:
    """The optimizer, what it wraps, and so on; what shares the parameters with another comes after it."""
    yield optimizer
    for inner in ("buffer", "base", "rest"):
        below = getattr(optimizer, inner, None)
        if isinstance(below, Optimizer):
            yield from layers(below)


def switch(optimizer: Optimizer, mode: str) -> None:
    """Calls `train()` or `eval()` of every layer that has it.

    Schedule-free optimizers keep the weights that they train with apart from those to be evaluated.
    """
    for layer in layers(optimizer):
        change = getattr(layer, mode, None)
        if callable(change):
            change()


def state_tensors(optimizer: Optimizer) -> Iterator[Tensor]:
    """Every tensor that the optimizer and what it wraps keep, once."""
    found = {
        id(value): value
        for layer in layers(optimizer)
        for state in layer.state.values()
        if isinstance(state, dict)  # the key of a stranger may stand for anything
        for value in state.values()
        if isinstance(value, Tensor)
    }
    yield from found.values()
