"""Optimizers as probe × memory × rule: the update rules, the critical buffer, the probes and their registry.

Depends on torch alone, and imports it only when a class is first asked for: the registry's data is there without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cmbench.optim.registry import get_info, list_optimizers

if TYPE_CHECKING:
    from cmbench.optim.classes import SGDCG, SGDCM, AdamCG, AdamCM
    from cmbench.optim.factory import create_optimizer
    from cmbench.optim.probes import MEG, SAM

__all__ = ["MEG", "SAM", "SGDCG", "SGDCM", "AdamCG", "AdamCM", "create_optimizer", "get_info", "list_optimizers"]

_ELSEWHERE = {"SAM": "probes", "MEG": "probes", "create_optimizer": "factory"}


def __getattr__(name: str) -> Any:
    """What needs torch; every rule with every memory has a class, `RMSpropCM` as well as `AdamCM`."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'classes')}"), name)
