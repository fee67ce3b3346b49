"""The native step of lanes: one call of a C function that takes norm, decision and update of each of them."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from cmbench.optim.addressed import roles_of
from cmbench.optim.draws import uniform
from cmbench.optim.judge import Judge
from cmbench.optim.native import Kernel
from cmbench.optim.update import GroupTensors


class LanesPlan:
    """The step of the lanes of the only parameter of `group`, whose tensors all are contiguous, time and again."""

    def __init__(self, kernel: Kernel, group: GroupTensors, judge: Judge) -> None:
        if kernel.lanes is None:
            raise TypeError("not compiled for lanes")
        self._call, self._places = kernel.lanes, _places(group, judge)
        param, stack, ranking = group.params[0], group.slots[0], group.rankings[0]
        stays_in, roles = group.memory.entry_stays_in, roles_of(group.rule) or {}
        names = (stays_in, None if stays_in else roles.get("momentum"), roles.get("square"))
        states = (group.state.get(name or "", [None])[0] for name in names)
        self._work = _Lanes(
            len(param), param[0].numel(), len(stack), judge.priority == "fifo", judge.needs_the_entry(), judge.decay,
            None, None, *map(_address, (ranking.priorities, ranking.ages, ranking.accepted)),
            *map(_address, (param, None, *states, group.totals[0], stack)),
        )  # fmt: skip
        self._reference = ctypes.byref(self._work)

    def fits(self, group: GroupTensors, judge: Judge) -> bool:
        """Whether all that it has taken the addresses of still is where it was, and entries are ranked as they were."""
        return self._places == _places(group, judge)

    def run(self, group: GroupTensors, judge: Judge) -> None:
        """One step in place, ranking and all."""
        (param,), (steps,), (gradient,) = group.params, group.steps, group.grads
        steps.add_(1)
        shrinkage = 1.0 if group.shrinkage is None else group.shrinkage
        # `grads` have sign and L2 in them already; the means are taken there.
        numbers = [1.0, 0.0, group.renewal, 1.0, shrinkage, *group.rule.numbers(group.group, steps)]
        coefficients = (ctypes.c_double * len(numbers))(*map(float, numbers))
        gradient = gradient.to(param.dtype).contiguous()
        drawn = None
        if judge.step is not None:
            drawn = uniform(judge.step, len(param)).to(group.rankings[0].priorities)
        self._work.coefficients, self._work.drawn = ctypes.addressof(coefficients), _address(drawn)
        self._work.grad = gradient.data_ptr()
        self._call(self._reference)
        torch.autograd.graph.increment_version([param])


class _Lanes(ctypes.Structure):
    """`Lanes` of native.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("lanes", "size", "capacity", "is_fifo", "of_entry")),
        ("decay", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("coefficients", "drawn", "priorities", "ages", "accepted")),
        *((name, ctypes.c_void_p) for name in ("param", "grad", "memory", "momentum", "square", "total", "slot")),
    )


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _places(group: GroupTensors, judge: Judge) -> list[object]:
    ranking, param = group.rankings[0], group.params[0]
    tensors = (param, *(each[0] for each in group.state.values()), group.totals[0], group.slots[0])
    rows = (ranking.priorities, ranking.ages, ranking.accepted)
    return [
        judge.priority,
        judge.decay,
        param.shape,
        param.stride(),
        param.dtype,
        *(tensor.data_ptr() for tensor in (*tensors, *rows)),
    ]
