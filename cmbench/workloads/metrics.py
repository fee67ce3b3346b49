"""What a model is judged by on validation data: a metric, and how it is gathered batch by batch on the device."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    import torchmetrics


@dataclass(frozen=True)
class Shard:
    """The part of every batch that falls to process `rank` of `size`."""

    rank: int = 0
    size: int = 1

    def of(self, items: Tensor, dim: int = 0) -> Tensor:
        """This process's part of `items` along `dim`; the parts differ by one item at most."""
        return items if self.size == 1 else items.tensor_split(self.size, dim)[self.rank]


WHOLE = Shard()
AllReduce = Callable[[Tensor], Tensor]
"""Adds up what every process gives."""


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and metric over the whole validation set."""

    loss: float
    metric: float


class Tally(ABC):
    """What an evaluation keeps of the batches that it has seen. It asks the device for nothing until its end."""

    @abstractmethod
    def update(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Takes in a batch: what the model says of it, what is true, and the sum of the losses, ()."""

    @abstractmethod
    def evaluation(self, count: int, shard: Shard, all_reduce: AllReduce) -> Evaluation:
        """The evaluation of the `count` targets that all processes have seen together, this one its `shard` of them."""


@dataclass(frozen=True)
class Metric:
    """What a workload is judged by on its validation set, and whether more of it is better.

    `tally` begins an evaluation. `name` is what results call it, `val_NAME_best`.
    """

    name: str
    higher_is_better: bool
    tally: Callable[[], Tally]

    def better(self, new: float, old: float) -> bool:
        """Whether `new` is strictly better than `old`; NaN never is."""
        return new > old if self.higher_is_better else new < old


class Means(Tally):
    """A metric that follows from means: `value` computes it from that of the loss and that of `counted`.

    `counted` gives the sum over a batch, (), of its outputs and targets; without it there is the loss alone.
    """

    def __init__(self, value: Callable[..., float], counted: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        self._value, self._counted = value, counted
        self._sums: Any = 0

    def update(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        also = [] if self._counted is None else [self._counted(outputs, targets).float()]
        self._sums = self._sums + torch.stack([loss.float(), *also])

    def evaluation(self, count: int, shard: Shard, all_reduce: AllReduce) -> Evaluation:
        means = (all_reduce(self._sums) / count).tolist()
        return Evaluation(means[0], self._value(*means))


class OverAll(Tally):
    """A metric that is computed of all outputs and targets together, by torchmetrics.

    `create` makes torchmetrics' metric for a model with so many outputs (their last dimension). `prepared` turns the
    outputs and targets of a batch into what it takes. They wait on the device and are handed over at the end, since to
    take them in makes the host wait in some metrics; in float64 where the device has it.
    """

    def __init__(
        self,
        create: Callable[[int], torchmetrics.Metric],
        prepared: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda outputs, targets: (outputs, targets),
    ) -> None:
        self._create, self._prepared = create, prepared
        self._batches: list[tuple[Tensor, Tensor]] = []
        self._loss: Any = 0
        self._outputs = 0

    def update(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        self._outputs = outputs.shape[-1]
        self._batches.append(self._prepared(outputs, targets))
        self._loss = self._loss + loss.float()

    def evaluation(self, count: int, shard: Shard, all_reduce: AllReduce) -> Evaluation:
        metric = self._create(self._outputs).to(self._loss.device)
        metric.update(*(_precise(torch.cat(parts)) for parts in zip(*self._batches, strict=True)))
        if shard.size > 1:
            # `compute` asks these two for the other processes' states.
            metric.dist_sync_fn = lambda state, group: _gathered(state, shard, all_reduce)
            metric.distributed_available_fn = lambda: True
        return Evaluation((all_reduce(self._loss) / count).item(), float(metric.compute()))


def _precise(values: Tensor) -> Tensor:
    """Floating-point numbers in float64: R² of targets far from zero is a small difference of large sums."""
    return values.double() if values.is_floating_point() and values.device.type != "mps" else values


def _gathered(state: Tensor, shard: Shard, all_reduce: AllReduce) -> list[Tensor]:
    """What every process has of a metric's state, in their order; by sums of what each puts into its own place."""
    rows = state if state.dim() else state[None]
    lengths = torch.zeros(shard.size, dtype=torch.long, device=rows.device)
    lengths[shard.rank] = len(rows)
    together = all_reduce(lengths).tolist()
    table = torch.zeros(shard.size, max(together), *rows.shape[1:], dtype=rows.dtype, device=rows.device)
    table[shard.rank, : len(rows)] = rows
    table = all_reduce(table)
    return [row[:length] if state.dim() else row[0] for row, length in zip(table, together, strict=True)]


def _percent(loss: float, correct: float) -> float:
    return 100 * correct


def _hits(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(-1) == targets).sum()


def _exponential(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf


def _r2(outputs: int) -> torchmetrics.Metric:
    from torchmetrics import R2Score

    return R2Score()


def _rmse(outputs: int) -> torchmetrics.Metric:
    from torchmetrics import MeanSquaredError

    return MeanSquaredError(squared=False)


def _auc(outputs: int) -> torchmetrics.Metric:
    from torchmetrics.classification import BinaryAUROC

    return BinaryAUROC(validate_args=False)  # to check a batch would make the host wait for it


def _f1(outputs: int) -> torchmetrics.Metric:
    from torchmetrics.classification import MulticlassF1Score

    return MulticlassF1Score(outputs, average="macro", validate_args=False)


def _alike(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return outputs.view_as(targets), targets


def _largest(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return outputs.argmax(-1), targets


def _probabilities(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    # torchmetrics would take logits that lie between 0 and 1 for probabilities.
    return outputs.view_as(targets).sigmoid(), targets.long()


ACCURACY = Metric("accuracy", True, partial(Means, _percent, _hits))
"""Percent of targets that the largest output predicts."""
PERPLEXITY = Metric("perplexity", False, partial(Means, _exponential))
"""exp of the mean cross-entropy per token."""
R2 = Metric("r2", True, partial(OverAll, _r2, _alike))
"""R², 1 − Σ (y − ŷ)² / Σ (y − ȳ)²; of several targets the mean over them."""
RMSE = Metric("rmse", False, partial(OverAll, _rmse, _alike))
"""√ of the mean of (y − ŷ)², in the targets' unit."""
AUC = Metric("auc", True, partial(OverAll, _auc, _probabilities))
"""Area under the receiver operating characteristic, of two classes and one output, the logit of the second."""
F1 = Metric("f1", True, partial(OverAll, _f1, _largest))
"""2·TP / (2·TP + FP + FN) of each class, averaged over the classes (macro)."""
