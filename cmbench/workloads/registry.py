"""The workloads by name; a workload's module is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cmbench.errors import unknown
from cmbench.workloads.options import Value, chosen_options

if TYPE_CHECKING:
    from cmbench.workloads.base import Workload

WORKLOADS = {
    "wine": "cmbench.workloads.wine:Wine",
    "digits": "cmbench.workloads.digits:Digits",
    "fashion_mnist": "cmbench.workloads.fashion_mnist:FashionMNIST",
    "cifar10": "cmbench.workloads.cifar:CIFAR10",
    "cifar100": "cmbench.workloads.cifar:CIFAR100",
    "imagenet": "cmbench.workloads.imagenet:ImageNet",
    "ptb": "cmbench.workloads.ptb:PTB",
    "pydoc": "cmbench.workloads.pydoc:PyDoc",
    "gpt": "cmbench.workloads.gpt:GPT",
    "digits_online": "cmbench.workloads.digits_online:DigitsOnline",
    "tinyimagenet_online": "cmbench.workloads.tinyimagenet:TinyImageNetOnline",
    "five_datasets_online": "cmbench.workloads.five_datasets:FiveDatasetsOnline",
}


def get_workload(
    name: str, where: str = "", data_dir: Path | None = None, options: Mapping[str, Any] = MappingProxyType({})
) -> Workload:
    """The workload called `name`, with these of its `options`, which looks for its data in `data_dir`.

    Raises `UserError` with a suggestion, naming `where` the name stood.
    """
    kind = _class(name, where)
    return kind(data_dir, chosen_options(kind.options, options, where))


def unusual_options(name: str, given: Mapping[str, Any], where: str = "") -> dict[str, Value]:
    """Those of the options `given` for the workload called `name` that are not its defaults.

    They are what a run is identified by: to write a default out makes no other run. Raises as `get_workload` does.
    """
    if not given:
        return {}
    options = _class(name, where).options
    chosen = chosen_options(options, given, where)
    return {option: value for option, value in chosen.items() if value != options[option].default}


def default_option(name: str, option: str) -> Value | None:
    """What the workload called `name` has where an option is not given; None for one that is not known."""
    if name not in WORKLOADS:
        return None
    options = _class(name).options
    return options[option].default if option in options else None


def _class(name: str, where: str = "") -> type[Workload]:
    if name not in WORKLOADS:
        raise unknown("workload", name, WORKLOADS, where)
    module, _, attribute = WORKLOADS[name].partition(":")
    found: type[Workload] = getattr(import_module(module), attribute)
    return found
