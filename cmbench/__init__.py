"""cmbench: a benchmark for optimizers that search for flat minima."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cmbench.version import VERSION

if TYPE_CHECKING:
    from cmbench import report
    from cmbench.api import Machine, run_suite
    from cmbench.report import load_results
    from cmbench.workloads.hub import from_datasets
    from cmbench.workloads.tensors import TensorWorkload

__version__ = VERSION
__all__ = ["Machine", "TensorWorkload", "__version__", "from_datasets", "load_results", "report", "run_suite"]

_LAZY = {
    "Machine": "cmbench.api:Machine",
    "TensorWorkload": "cmbench.workloads.tensors:TensorWorkload",
    "from_datasets": "cmbench.workloads.hub:from_datasets",
    "load_results": "cmbench.report:load_results",
    "report": "cmbench.report",
    "run_suite": "cmbench.api:run_suite",
}
"""What is imported when it is asked for: `import cmbench` loads nothing heavy."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return __all__
