"""The training loop: from a run's spec to its measurement."""

from __future__ import annotations

import copy
import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cmbench.experiments.execute import Measurement
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Cost
from cmbench.optim import create_optimizer, get_info
from cmbench.training import checkpoint
from cmbench.training.interrupt import Interruptible
from cmbench.training.seeding import generator, stream
from cmbench.workloads.base import Workload

READ_EVERY_STEPS = 100
"""Losses stay on the device for at most so many steps: reading one makes the host wait for the device."""
READ_EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class Progress:
    """Where a run is: steps done of all, the latest loss that was read, the last validation metric."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float
    metric: float | None


@dataclass
class Position:
    """Everything that changes during a run besides tensors: what a checkpoint keeps beside them."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best: float | None = None
    best_epoch: int = 0
    wall_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    """Training losses of this epoch's steps."""
    curves: dict[str, list[float]] = field(default_factory=dict)


@cache
def _warm_up() -> None:
    """torch loads a good part of itself at a process's first step: no run's time should include that."""
    parameter = torch.zeros(1, requires_grad=True)
    parameter.sum().backward()
    torch.optim.AdamW([parameter]).step()


def train(
    spec: RunSpec,
    workload: Workload,
    device: torch.device,
    files: Callable[[str], Path],
    *,
    force: bool = False,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Measurement:
    """Runs `spec` to its end, or on from the checkpoint of a run that was stopped (unless `force`).

    `workload` has been loaded onto `device`. `files` gives the path of this run's file with a suffix; the weights
    that the run ends with are left at `files(".pt")`.
    """
    _warm_up()
    settings, metric = spec.settings, workload.metric
    name, hyperparameters = spec.optimizer.name, spec.optimizer.hyperparameters
    with torch.random.fork_rng():
        torch.manual_seed(stream(spec.seed, "weights"))
        model = workload.model().to(device)
    torch.manual_seed(stream(spec.seed, "noise"))
    start = copy.deepcopy([p.detach() for p in model.parameters()])
    optimizer = create_optimizer(name, model.parameters(), **hyperparameters)
    position, carry = Position(), None

    resume, every = files(checkpoint.RESUME), spec.checkpoint.every_steps
    if force:
        resume.unlink(missing_ok=True)
    if resume.exists():
        saved = checkpoint.load(resume)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["random"])
        carry = _to(saved["carry"], device)
        position = Position(**saved["position"])

    def save() -> None:
        position.wall_seconds = earlier + time.perf_counter() - began
        checkpoint.save(
            resume,
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "random": torch.get_rng_state(),
                "carry": carry,
                "position": asdict(position),
            },
        )

    def measurement(status: str, **also: Any) -> Measurement:
        return _measure(position, metric.name, optimizer, name, device, status, **also)

    per_epoch = workload.steps_per_epoch(settings.batch_size)
    unread: list[Tensor] = []
    began = last_read = time.perf_counter()
    earlier = position.wall_seconds

    def read() -> int | None:
        """Reads the losses that are still on the device; returns the first step that diverged, counted from 1."""
        nonlocal last_read
        values = torch.stack(unread).tolist() if unread else []
        unread.clear()
        last_read = time.perf_counter()
        first = position.step - len(values) + 1
        position.losses += values
        if values:
            last = position.curves.get(f"val_{metric.name}", [None])[-1]
            progress(
                Progress(position.step, per_epoch * settings.epochs, position.epoch, settings.epochs, values[-1], last)
            )
        return next((first + i for i, v in enumerate(values) if not abs(v) <= settings.loss_bound), None)

    with Interruptible() as interrupt:
        for epoch in range(position.epoch, settings.epochs):
            for group in optimizer.param_groups:
                group["lr"] = hyperparameters["lr"] * settings.schedule.factor(epoch)
            order = generator(spec.seed, "order", epoch)
            for batch in workload.batches(settings.batch_size, order, position.step_in_epoch):
                carries = []

                def closure(batch: Any = batch, carry: Any = carry, carries: list = carries) -> Tensor:
                    optimizer.zero_grad()
                    loss, after = workload.loss(model, batch, carry)
                    loss.backward()
                    carries.append(after)
                    return loss

                unread.append(optimizer.step(closure).detach())
                carry = carries[0]  # a probe evaluates twice; the text goes on from where it was read at θ
                position.step += 1
                position.step_in_epoch += 1

                due = position.step % every == 0 or interrupt.requested
                late = time.perf_counter() - last_read > READ_EVERY_SECONDS
                if due or late or len(unread) >= READ_EVERY_STEPS or position.step_in_epoch == per_epoch:
                    diverged = read()
                    if diverged is not None:
                        position.wall_seconds = earlier + time.perf_counter() - began
                        resume.unlink(missing_ok=True)
                        value = position.losses[diverged - position.step - 1]
                        error = f"training loss {value:g} at step {diverged}"
                        return measurement("diverged", diverged_step=diverged, error=error)
                if due:
                    save()
                if interrupt.requested:
                    return measurement("interrupted", error=f"interrupted at step {position.step}")

            before = time.perf_counter()
            evaluation = workload.evaluate(model)
            position.evaluation_seconds += time.perf_counter() - before
            if position.best is None or metric.better(evaluation.metric, position.best):
                position.best, position.best_epoch = evaluation.metric, epoch + 1
            for key, value in {
                "epoch": epoch + 1,
                "train_loss": math.fsum(position.losses) / len(position.losses),
                "val_loss": evaluation.loss,
                f"val_{metric.name}": evaluation.metric,
                "lr": optimizer.param_groups[0]["lr"],
                "distance": _distance(model, start),
            }.items():
                position.curves.setdefault(key, []).append(value)
            position.epoch, position.step_in_epoch, carry = epoch + 1, 0, None
            position.losses = []

    position.wall_seconds = earlier + time.perf_counter() - began
    checkpoint.save(files(checkpoint.WEIGHTS), {"model": model.state_dict(), "run": spec.id})
    resume.unlink(missing_ok=True)
    return measurement("completed")


def _to(carry: Any, device: torch.device) -> Any:
    return carry if carry is None else tuple(state.to(device) for state in carry)


def _distance(model: nn.Module, start: list[Tensor]) -> float:
    """‖θ − θ₀‖₂ over all parameters."""
    gaps = [torch.linalg.vector_norm(p.detach() - s) for p, s in zip(model.parameters(), start, strict=True)]
    return torch.linalg.vector_norm(torch.stack(gaps)).item()


def _measure(
    position: Position,
    metric: str,
    optimizer: Optimizer,
    name: str,
    device: torch.device,
    status: str,
    **also: Any,
) -> Measurement:
    curves, metrics = position.curves, {}
    if curves:
        metrics = {
            f"val_{metric}_best": position.best,
            f"val_{metric}_final": curves[f"val_{metric}"][-1],
            "train_loss_final": curves["train_loss"][-1],
            "distance": curves["distance"][-1],
            "epoch_best": position.best_epoch,
        }
    cost = Cost(
        wall_seconds=position.wall_seconds,
        evaluation_seconds=position.evaluation_seconds,
        steps=position.step,
        gradient_evaluations=position.step * get_info(name).gradient_evaluations,
        peak_memory_bytes=_peak_memory(device),
        optimizer_state_bytes=state_bytes(optimizer),
    )
    return Measurement(status, metrics=metrics, curves=curves, cost=cost, **also)


def _peak_memory(device: torch.device) -> int:
    """Of the device where it keeps count, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def state_bytes(optimizer: Optimizer) -> int:
    """Bytes of all tensors in the optimizer's state; one that several parameters share counts once."""
    tensors = {
        id(value): value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)
    }
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
