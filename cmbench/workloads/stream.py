"""Online learning: a stream of classification tasks on which one model is trained, one after the other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cmbench.workloads.base import Batch, Workload
from cmbench.workloads.examples import TensorClassification
from cmbench.workloads.metrics import ACCURACY


class Split(NamedTuple):
    """The images (N, C, H, W) of one task and their classes (N,), counted within the task."""

    train_inputs: np.ndarray
    train_targets: np.ndarray
    valid_inputs: np.ndarray
    valid_targets: np.ndarray


class StreamTask(TensorClassification):
    """Task number `number` of a stream of tasks with `ways` classes each, on `device`.

    Which task an image belongs to is known, in training and in validation: of the model's outputs, which are one linear
    layer over the classes of all tasks, only this task's are looked at (as in Gupta et al., 2020, "La-MAML", and Mehta
    et al., 2023, "An Empirical Investigation of the Role of Pre-training in Lifelong Learning").
    """

    def __init__(self, number: int, ways: int, split: Split, device: torch.device) -> None:
        self.outputs = slice(number * ways, (number + 1) * ways)
        self.train_inputs, self.train_targets, self.valid_inputs, self.valid_targets = (
            torch.from_numpy(part).to(device) for part in split
        )

    def predict(self, model: nn.Module, batch: Batch, carry: None) -> tuple[Tensor, None]:
        outputs: Tensor = model(batch.inputs)[:, self.outputs]
        return outputs, None


class Stream(Workload):
    """Tasks of `ways` classes each; a subclass reads them, and names a model with an output for every class of all.

    `task` is the kind of the tasks: how their images are changed, and given to the model.
    """

    metric = ACCURACY
    task: type[StreamTask] = StreamTask
    ways: int

    @abstractmethod
    def splits(self) -> Iterator[Split]:
        """The tasks in their order, read from the files; raises `UserError` where these are missing or others."""

    def load(self, device: torch.device) -> None:
        self._tasks = tuple(self.task(i, self.ways, split, device) for i, split in enumerate(self.splits()))

    @property
    def tasks(self) -> Sequence[StreamTask]:
        return self._tasks
