"""The loss that flatness is measured of: that of a task's first training examples, always the same ones."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from cmbench.curvature.products import Hessian, Loss, weighted
from cmbench.experiments.seeding import generator
from cmbench.training.processes import ALONE, Processes
from cmbench.workloads.base import Batch, Task

AT_ONCE = 256
"""Examples that a processor differentiates twice at once; all of 1,000 images took 2.3 times as long as in parts."""


def evaluation_batches(task: Task, batch_size: int, examples: int | None = None) -> list[tuple[Batch, float]]:
    """So many training examples (all if None), not augmented, in batches of `batch_size` with their weights.

    An example is what the task counts as one in a batch: an image, or a sequence of words.
    """
    return weighted(_cut(task, batch_size, examples), lambda batch: batch.targets.numel())


def _cut(task: Task, batch_size: int, examples: int | None) -> Iterator[Batch]:
    left = examples
    for batch in task.batches(batch_size, generator(0, "sharpness"), augment=False):
        size = batch.targets.shape[task.dim]
        if left is not None and size >= left:
            yield Batch(batch.inputs.narrow(task.dim, 0, left), batch.targets.narrow(task.dim, 0, left), left)
            return
        left = None if left is None else left - size
        yield batch


def loss_of(task: Task) -> Loss:
    """The mean loss of a model on a batch; of a recurrent one, from an empty state."""
    return lambda model, batch: task.loss(model, batch, None)[0]


def loss_hessian(
    model: nn.Module, task: Task, batch_size: int, examples: int | None = None, processes: Processes = ALONE
) -> tuple[Hessian, int]:
    """The Hessian of the mean loss over `evaluation_batches`, of which each process computes its own share; and how
    many batches these are.

    A processor differentiates a batch in parts, and what takes no more memory than one batch is kept for every product.
    """
    batches = evaluation_batches(task, batch_size, examples)
    own = batches[processes.rank :: processes.size]
    keep = len(own) == 1
    if next(model.parameters()).device.type == "cpu":
        own = [part for batch, weight in own for part in _parts(task, batch, weight)]
    return Hessian(model, loss_of(task), own, processes.all_reduce, keep=keep), len(batches)


def _parts(task: Task, batch: Batch, weight: float) -> Iterator[tuple[Batch, float]]:
    """`batch` in parts of at most AT_ONCE examples, with their shares of its weight."""
    for part in batch.split(-(-batch.targets.shape[task.dim] // AT_ONCE), task.dim):
        yield part, weight * part.targets.numel() / batch.targets.numel()
