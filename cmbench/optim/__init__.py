"""Optimizers as probe × memory × rule: the update rules, the critical buffer, the probes and their registry.

Depends on torch alone, and imports it only when a class is first asked for: the registry's data is there without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmbench.optim.registry import get_info, list_optimizers

if TYPE_CHECKING:
    from cmbench.optim.critical import SGDCG, SGDCM, AdamCG, AdamCM
    from cmbench.optim.factory import create_optimizer
    from cmbench.optim.probes import MEG, SAM

_LAZY = {
    "AdamCG": "critical",
    "AdamCM": "critical",
    "SGDCG": "critical",
    "SGDCM": "critical",
    "SAM": "probes",
    "MEG": "probes",
    "create_optimizer": "factory",
}

__all__ = ["MEG", "SAM", "SGDCG", "SGDCM", "AdamCG", "AdamCM", "create_optimizer", "get_info", "list_optimizers"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
