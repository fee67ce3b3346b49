"""The workloads by name; a workload's module is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cmbench.errors import UserError, unknown
from cmbench.plugins.resolve import FORMS, Found, call, entry_points, find, is_outside
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

    Somebody else's is `module:NAME`, `./file.py:NAME`, or registered by a package: a class, an instance, or a function
    that returns one. Raises `UserError` with a suggestion, naming `where` the name stood.
    """
    if name in WORKLOADS:
        kind = _class(name, where)
        return kind(data_dir, chosen_options(kind.options, options, where))
    from cmbench.workloads.base import Workload

    found = _find(name, where)
    made, is_class = found.value, isinstance(found.value, type)
    if is_class and issubclass(made, Workload):
        chosen = chosen_options(made.options, options, where)
        made = call(f"{where}: '{name}'", lambda: found.value(data_dir, chosen))
    elif callable(made) and not is_class and not isinstance(made, Workload):
        made = call(f"{where}: '{name}'", made)
    if not isinstance(made, Workload):
        what = f"the class {made.__name__}" if is_class else type(made).__name__
        raise UserError(f"{where}: '{name}' is {what}: accepted: a Workload, or a class or function that makes one")
    if made.options.keys() != {*made.chosen} or (options and not is_class):
        raise UserError(f"{where}: '{name}': options: accepted: with a class of workloads")
    made.source = found.source
    return made


def _find(name: str, where: str) -> Found:
    if not is_outside(name, "workloads"):
        raise unknown("workload", name, [*WORKLOADS, *entry_points("workloads"), *FORMS], where)
    return find(name, "workloads", where)


def unusual_options(name: str, given: Mapping[str, Any], where: str = "") -> dict[str, Value]:
    """Those of the options `given` for the workload called `name` that are not its defaults.

    They are what a run is identified by: to write a default out makes no other run. Raises as `get_workload` does; of
    a workload that is not registered, all that are given are returned, and it is not imported.
    """
    if not given or name not in WORKLOADS:
        return dict(given)
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
    module, _, attribute = WORKLOADS[name].partition(":")
    found: type[Workload] = getattr(import_module(module), attribute)
    return found
