"""Builds any registered optimizer from its name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from cmbench.optim.critical import SGDCG, SGDCM, AdamCG, AdamCM
from cmbench.optim.probes import MEG, SAM
from cmbench.optim.registry import PROBES, get_info

_BASES: dict[tuple[str, str], type[Optimizer]] = {
    ("adam", ""): torch.optim.AdamW,
    ("adam", "cg"): AdamCG,
    ("adam", "cm"): AdamCM,
    ("sgd", ""): torch.optim.SGD,
    ("sgd", "cg"): SGDCG,
    ("sgd", "cm"): SGDCM,
}
_PROBES = {"sam": SAM, "meg": MEG}


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

    Raises `ValueError` naming an unknown optimizer or hyperparameter, or a value it refuses.
    """
    info = get_info(name)
    values = info.resolve(hyperparameters)
    for_probe = {key: values.pop(key) for key in PROBES[info.probe.key].hyperparameters if key != "scope"}
    scope = values.get("scope")
    if not info.memory.key:
        values.pop("scope", None)  # torch's own classes have none
    optimizer = _BASES[info.rule.key, info.memory.key](
        params, maximize=maximize, foreach=foreach, fused=fused, **values
    )
    if info.probe.key == "sam":
        for_probe["scope"] = scope
    return _PROBES[info.probe.key](optimizer, **for_probe) if info.probe.key else optimizer
