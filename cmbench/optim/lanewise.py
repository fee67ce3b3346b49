"""The step of lanes, native where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cmbench.optim.implementations import Implementation
from cmbench.optim.judge import Judge
from cmbench.optim.native_lanes import LanesPlan
from cmbench.optim.trial import kernel_for_lanes
from cmbench.optim.update import GroupTensors


class Lanewise(Implementation):
    """What `plain` does, natively where all lanes are the rows of one parameter on a CPU; else by `plain` itself."""

    needs_scales = False

    def __init__(self) -> None:
        self.forget({})

    def forget(self, counts: Mapping[Tensor, float]) -> None:
        self._plan: LanesPlan | None = None

    def step(self, groups: Sequence[GroupTensors], judge: Judge | None) -> None:
        if judge is not None and (plan := self._fitting(groups, judge)):
            plan.run(groups[0], judge)
            return
        for group in groups:
            group.scales = group.means()
        super().step(groups, judge)

    def _fitting(self, groups: Sequence[GroupTensors], judge: Judge) -> LanesPlan | None:
        """The plan of the step before, unless something has changed."""
        if torch.compiler.is_compiling() or len(groups) > 1 or len(groups[0].params) != 1 or groups[0].fresh:
            return None
        if self._plan is None or not self._plan.fits(groups[0], judge):
            kernel = kernel_for_lanes(groups[0])
            self._plan = LanesPlan(kernel, groups[0], judge) if kernel else None
        return self._plan
