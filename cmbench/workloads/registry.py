"""The workloads by name; a workload's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cmbench.errors import unknown

if TYPE_CHECKING:
    from cmbench.workloads.base import Workload

WORKLOADS = {
    "digits": "cmbench.workloads.digits:Digits",
    "fashion_mnist": "cmbench.workloads.fashion_mnist:FashionMNIST",
    "cifar10": "cmbench.workloads.cifar:CIFAR10",
    "cifar100": "cmbench.workloads.cifar:CIFAR100",
    "imagenet": "cmbench.workloads.imagenet:ImageNet",
    "ptb": "cmbench.workloads.ptb:PTB",
    "pydoc": "cmbench.workloads.pydoc:PyDoc",
    "digits_online": "cmbench.workloads.digits_online:DigitsOnline",
    "tinyimagenet_online": "cmbench.workloads.tinyimagenet:TinyImageNetOnline",
    "five_datasets_online": "cmbench.workloads.five_datasets:FiveDatasetsOnline",
}


def get_workload(name: str, where: str = "", data_dir: Path | None = None) -> Workload:
    """The workload called `name`, which looks for its data in `data_dir`.

    Raises `UserError` with a suggestion, naming `where` the name stood.
    """
    if name not in WORKLOADS:
        raise unknown("workload", name, WORKLOADS, where)
    module, _, attribute = WORKLOADS[name].partition(":")
    workload: Workload = getattr(import_module(module), attribute)(data_dir)
    return workload
