"""Builds any registered optimizer from its name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch.optim import Optimizer

from cmbench.optim.classes import class_of
from cmbench.optim.hyperparameters import ImplementationName
from cmbench.optim.probes import MEG, SAM, Probe
from cmbench.optim.registry import OptimizerInfo, get_info
from cmbench.optim.trial import is_available

PROBES: dict[str, type[Probe]] = {"sam": SAM, "meg": MEG}
"""The class of each probe."""


def create_optimizer(
    name: str,
    params: Iterable[Any],
    *,
    maximize: bool = False,
    foreach: bool | None = None,
    fused: bool | None = None,
    **hyperparameters: Any,
) -> Optimizer:
    """The optimizer called `name` (`rule[_probe][_memory]`, see `list_optimizers`) over `params`.

    `create_optimizer("adam_sam_cm", model.parameters(), lr=1e-3, capacity=5, decay=0.7, rho=0.05)`

    `maximize`, `foreach` and `fused` are those of torch's optimizers: the direction, and which implementation runs.

    Returns a class of `torch.optim` for a rule alone, `AdamCM` or its like with a memory, `SAM` or `MEG` around either.
    Raises `ValueError` naming an unknown optimizer or hyperparameter, or a value it refuses.
    """
    info = get_info(name)
    values = info.resolve(hyperparameters)
    of_probe = {each.name for each in info.probe.hyperparameters} if info.probe else set()
    of_base = replace(info, probe=None).hyperparameters
    made, accepted = _base_class(info)
    options: dict[str, Any] = {"maximize": maximize, "foreach": foreach, "fused": fused}
    for option in options.keys() - accepted:
        if options.pop(option):
            raise ValueError(f"invalid {option}: True (accepted for '{name}': False)")
    base = made(params, **options, **{key: value for key, value in values.items() if key in of_base})
    if info.probe is None:
        return base
    return PROBES[info.probe.key](base, **{key: value for key, value in values.items() if key in of_probe})


def implementation_options(
    name: str, wanted: ImplementationName, device: torch.device, *, lanewise: bool = False
) -> dict[str, bool]:
    """The options of `create_optimizer` that have a registered optimizer's steps carried out in a way that it has.

    `auto` is `fused` on a CPU, for a rule alone by torch's own class, with a memory where the native step (of lanes in
    float64, if it is to be `lanewise`) has passed its test; elsewhere, and where an optimizer lacks what is wanted, it
    is what the class does by itself.
    """
    info = get_info(name)
    _, accepted = _base_class(info)
    if wanted == "auto":
        is_quick = info.memory is None or is_available(info.rule.key, info.memory.key, lanewise=lanewise)
        wanted = "fused" if device.type == "cpu" and "fused" in accepted and is_quick else wanted
    options = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}.get(wanted, {})
    return {option: value for option, value in options.items() if option in accepted}


def implementation_of(optimizer: Optimizer) -> ImplementationName | None:
    """The one that the parameter groups ask for; None for a class that has no choice, or decides by itself."""
    group = optimizer.param_groups[0]
    if group.get("fused"):
        return "fused"
    return None if group.get("foreach") is None else "foreach" if group["foreach"] else "plain"


def _base_class(info: OptimizerInfo) -> tuple[type[Optimizer], set[str]]:
    """The class without the probe, and which of the options of torch's optimizers it takes."""
    if info.memory is not None:
        return class_of(info.rule.key, info.memory.key), {"maximize", "foreach", "fused"}
    alone: type[Optimizer] = getattr(torch.optim, info.rule.torch_class)
    return alone, {"maximize", "foreach", "fused"} & inspect.signature(alone).parameters.keys()
