"""torch's description of optimizers for its own tests, made for every registered one: settings and refused arguments.

A script: what it imports of torch changes flags of the whole process. It prints what is wrong, one line for each.
"""

import sys
import types
import unittest
import warnings
from collections.abc import Iterator

import torch

from cmbench.optim import create_optimizer, get_info, list_optimizers

if "expecttest" not in sys.modules:  # torch's tests derive from it; nothing here does
    sys.modules["expecttest"] = types.ModuleType("expecttest")
    sys.modules["expecttest"].TestCase = unittest.TestCase

from torch.testing._internal.common_optimizers import (
    ErrorOptimizerInput,
    OptimizerErrorEnum,
    OptimizerInfo,
    OptimizerInput,
    _get_optim_inputs_including_global_cliquey_kwargs,
    get_error_inputs_for_all_optims,
)

OTHER = {
    "lr": 0.02, "betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.1, "momentum": 0.5, "alpha": 0.9, "capacity": 2,
    "decay": 0.9, "priority": "fifo", "scope": "per_tensor", "buffer_dtype": "float64", "first_step": "authors",
    "rho": 0.2, "gamma": 0.2,
}  # fmt: skip
REFUSED = {"betas": (1.0, 0.0), "priority": "largest", "scope": "model", "buffer_dtype": "int8", "first_step": "none"}


def info_of(name: str) -> OptimizerInfo:
    """torch's record of the optimizer of that name; a hyperparameter that has no other value here is an error."""

    def made(params, **settings):
        return create_optimizer(name, params, **settings)

    made.__name__ = name
    known = get_info(name).hyperparameters

    def inputs(device, dtype=None):
        yield OptimizerInput(params=None, kwargs={}, desc="default")
        for maximize in (False, True):
            for each in known:
                kwargs = {each: OTHER[each], "maximize": maximize}
                yield OptimizerInput(params=None, kwargs=kwargs, desc=f"{each}, {maximize=}")

    def refused(device, dtype):
        for each in known:
            wrong = OptimizerInput(params=None, kwargs={each: REFUSED.get(each, -1)}, desc=f"refused {each}")
            yield ErrorOptimizerInput(wrong, error_type=ValueError)
        yield from get_error_inputs_for_all_optims(device, dtype)

    return OptimizerInfo(
        made,
        optim_inputs_func=inputs,
        optim_error_inputs_func=refused,
        supported_impls=("foreach", "fused"),  # torch leaves out foreach on a CPU
        supports_fused_on=("cpu",),
        supports_complex=False,
    )


def stepped(info: OptimizerInfo, kwargs) -> list[torch.Tensor]:
    torch.manual_seed(0)
    params = [torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in ((4, 3), (5,), ())]
    optimizer = info.optim_cls(params, **kwargs)

    def closure():
        for k, param in enumerate(params):
            param.grad = torch.sin(3 * param.detach() + k)
        return params[0].sum().detach()

    for _ in range(6):
        optimizer.step(closure)
    return params


def disagreements(info: OptimizerInfo) -> Iterator[str]:
    """Settings by which implementations end at different places, or nowhere."""
    for given in _get_optim_inputs_including_global_cliquey_kwargs("cpu", torch.float64, info, skip=("foreach",)):
        if not given.kwargs["fused"]:
            expected = stepped(info, given.kwargs | {"foreach": False})
            if not all(param.isfinite().all() for param in expected):
                yield f"{info.name}, {given.desc}: not finite"
        try:
            torch.testing.assert_close(stepped(info, given.kwargs), expected, rtol=1e-7, atol=1e-7)
        except AssertionError as error:
            yield f"{info.name}, {given.desc}: {error}"


def acceptances(info: OptimizerInfo) -> Iterator[str]:
    """What should have been refused when the optimizer is made."""
    for case in info.optim_error_inputs_func("cpu", torch.float32):
        given = case.optimizer_error_input
        assert case.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR
        params = [torch.nn.Parameter(torch.zeros(2))] if given.params is None else given.params
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                info.optim_cls(params, **given.kwargs)
            except case.error_type:
                continue
            except Exception as error:
                yield f"{info.name}, {given.desc}: {type(error).__name__}: {error}"
            else:
                yield f"{info.name}, {given.desc}: accepted"


def main() -> None:
    for name in list_optimizers():
        info = info_of(name)
        for wrong in acceptances(info):
            print(wrong)
        if get_info(name).memory:  # a rule alone is torch's own class
            for wrong in disagreements(info):
                print(wrong)


if __name__ == "__main__":
    main()
