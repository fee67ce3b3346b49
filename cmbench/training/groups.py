"""The parameter groups of a model, by patterns of names: without weight decay, or with a learning rate of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from cmbench.errors import UserError
from cmbench.experiments.settings import TrainSettings

FACTOR = "lr_factor"
"""The key of a group's factor of the learning rate; groups without it have the run's."""


def parameter_groups(
    model: nn.Module, settings: TrainSettings, hyperparameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The parameters of `model` with their `names`, in several groups where `settings` ask for some.

    A pattern of `no_decay` or `lr_scale` is meant for every parameter whose dotted name holds it, or the class name of
    whose module does, in whatever case. Factors of several patterns are multiplied. Raises `UserError` for a pattern
    that is meant for none.
    """
    owned = {
        f"{path}.{name}" if path else name: (parameter, type(module).__name__)
        for path, module in model.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
    }
    # One that several modules share has the name of the first, as in `model.parameters()`.
    named = {name: owned[name] for name, _ in model.named_parameters()}
    if not settings.no_decay and not settings.lr_scale:
        return [{"params": [parameter for parameter, _ in named.values()], "names": list(named)}]
    decay_free = {name for pattern in settings.no_decay for name in _matching(pattern, named, "no_decay")}
    factors = dict.fromkeys(named, 1.0)
    for pattern, factor in settings.lr_scale.items():
        for name in _matching(pattern, named, "lr_scale"):
            factors[name] *= factor
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, (parameter, _) in named.items():
        factor, is_free = factors[name], name in decay_free and "weight_decay" in hyperparameters
        of_group: dict[str, Any] = {"params": [], "names": [], FACTOR: factor}
        if is_free:
            of_group["weight_decay"] = 0.0
        of_group = groups.setdefault((factor, is_free), of_group)
        of_group["params"].append(parameter)
        of_group["names"].append(name)
    return list(groups.values())


def _matching(pattern: str, named: Mapping[str, tuple[nn.Parameter, str]], key: str) -> Sequence[str]:
    wanted = pattern.lower()
    found = [name for name, (_, kind) in named.items() if wanted in name.lower() or wanted in kind.lower()]
    if not found:
        raise UserError(f"{key}: '{pattern}' is meant for no parameter: accepted: a part of one of {', '.join(named)}")
    return found
