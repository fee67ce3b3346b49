"""The training loop: from a run's spec to its measurement."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cmbench.experiments.execute import Measurement
from cmbench.experiments.files import BEST, RESUME, WEIGHTS
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Cost, Status
from cmbench.experiments.settings import CheckpointSettings, TelemetrySettings, TrainSettings
from cmbench.optim import get_info
from cmbench.optim.sharded import local
from cmbench.training import checkpoint
from cmbench.training.interrupt import Interrupt
from cmbench.training.learner import Learner
from cmbench.training.processes import ALONE, Processes
from cmbench.training.readout import Readout
from cmbench.training.seeding import generator
from cmbench.workloads.base import Task, Workload


@dataclass(frozen=True)
class Progress:
    """Where a run is: steps done of all, the latest loss that was read, the last validation metric."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float
    metric: float | None


class Observer:
    """Hears how a run goes on; this one stays silent."""

    def progress(self, now: Progress) -> None:
        """About twice a second."""

    def epoch_done(self, step: int, values: Mapping[str, float | None]) -> None:
        """An epoch has ended after `step` steps; `values` is what it adds to the run's curves."""


@dataclass(frozen=True)
class Gauge:
    """Something to be measured at the end of every so many epochs.

    `measure` gets the model, in evaluation mode, and what it is trained on. It may draw random numbers.
    """

    every_epochs: int
    measure: Callable[[nn.Module, Task], float]


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
    rows: list[list[float]] = field(default_factory=list)
    """Loss, and gradient norm where it is recorded, of this epoch's steps."""
    curves: dict[str, list[float | None]] = field(default_factory=dict)


@cache
def _warm_up() -> None:
    """torch loads a good part of itself at a process's first step: no run's time should include that."""
    parameter = torch.zeros(1, requires_grad=True)
    parameter.sum().backward()
    torch.optim.AdamW([parameter]).step()


@contextmanager
def _threads_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_threads_restored()
def train(
    spec: RunSpec[TrainSettings],
    workload: Workload,
    device: torch.device,
    files: Callable[[str], Path],
    *,
    processes: Processes = ALONE,
    force: bool = False,
    observer: Observer = Observer(),
    gauges: Mapping[str, Gauge] = MappingProxyType({}),
    interrupt: Interrupt = Interrupt(),
) -> Measurement:
    """Runs `spec` to its end, or on from the checkpoint of a run that was stopped (unless `force`).

    When `interrupt` is requested it ends at the next reading of the losses, with a checkpoint. `workload` has been
    loaded onto `device`. `files` gives the path of this run's file with a suffix; the weights that the run ends with
    are left at `files(".pt")`, those of its best epoch at `files(".best.pt")`.
    """
    _warm_up()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    settings, metric, tasks = spec.settings, workload.metric, workload.tasks
    telemetry, kept = spec.telemetry or TelemetrySettings(), spec.checkpoint or CheckpointSettings()
    learner = Learner(spec, workload, device, processes)
    for task in tasks:
        learner.check_batches(task)
    position, carries = Position(), None

    resume = files(RESUME)
    if force and processes.leads:
        resume.unlink(missing_ok=True)
    if processes.told(resume.exists()):
        saved = checkpoint.load_to_resume(resume, processes.size, device)
        learner.load(saved["learner"])
        own = saved["processes"][processes.rank]
        checkpoint.set_random_state(own["random"], device)
        carries, position = checkpoint.moved(own["carries"], device), Position(**saved["position"])
        # How many threads compute a sum decides its last bits: this run goes on with those that it began with.
        torch.set_num_threads(saved["threads"])
    seen = math.fsum(value for value in position.curves.get("buffer_accepted", []) if value is not None)

    def save() -> None:
        position.wall_seconds = earlier + time.perf_counter() - began
        state = {"carries": checkpoint.moved(carries, torch.device("cpu")), "random": checkpoint.random_state(device)}
        own = processes.gather(state)
        content = {"learner": learner.state(), "processes": own, "position": asdict(position)}
        if processes.leads:
            checkpoint.save(resume, content | {"threads": torch.get_num_threads(), "device": device.type})
        readout.saved()

    def keep_weights(suffix: str) -> None:
        weights = learner.weights()
        if processes.leads:
            checkpoint.save(files(suffix), {"model": weights, "run": spec.id, "epoch": position.epoch})

    def measurement(status: Status, **also: Any) -> Measurement:
        whole = position.step == settings.epochs * sum(steps)
        return _measure(position, workload, learner, spec.chosen_optimizer.name, whole, status, **also)

    steps = [task.steps_per_epoch(settings.batch_size) for task in tasks]
    total_epochs = settings.epochs * len(tasks)
    total_steps = min(settings.epochs * sum(steps), settings.max_steps or sys.maxsize)
    readout = Readout(processes, device, kept.every_minutes)
    began = time.perf_counter()
    earlier = position.wall_seconds

    for epoch in range(position.epoch, total_epochs):
        which, epoch_of_task = divmod(epoch, settings.epochs)
        task = tasks[which]
        learner.set_lr(settings.schedule.factor(epoch_of_task))
        order = generator(spec.seed, "order", epoch)
        batches = task.batches(settings.batch_size, order, position.step_in_epoch, processes.share)
        for batch in islice(batches, total_steps - position.step):
            loss, carries = learner.step(task, batch, carries)
            readout.add(torch.stack([loss, learner.gradient_norm()] if telemetry.gradient_norm else [loss]))
            position.step += 1
            position.step_in_epoch += 1

            due = position.step % kept.every_steps == 0
            ends = position.step_in_epoch == steps[which] or position.step == total_steps
            if not (due or ends or readout.is_time):
                continue
            reading = readout.read(interrupt.requested)
            position.rows += reading.rows
            losses = [row[0] for row in reading.rows]
            last = position.curves.get(f"val_{metric.name}", [None])[-1]
            observer.progress(Progress(position.step, total_steps, epoch, total_epochs, losses[-1], last))
            for step, value in enumerate(losses, position.step - len(losses) + 1):
                if not abs(value) <= settings.loss_bound:
                    position.wall_seconds = earlier + time.perf_counter() - began
                    if processes.leads:
                        resume.unlink(missing_ok=True)
                    error = f"training loss {value:g} at step {step}"
                    return measurement("diverged", diverged_step=step, error=error)
            if due or reading.checkpoint or reading.interrupted:
                save()
            if reading.interrupted:
                return measurement("interrupted", error=f"interrupted at step {position.step}")

        before = time.perf_counter()
        evaluation = learner.evaluate(task)
        values: dict[str, float | None] = {
            "epoch": epoch + 1,
            **({"task": which + 1} if len(tasks) > 1 else {}),
            "train_loss": _mean(row[0] for row in position.rows),
            "val_loss": evaluation.loss,
            f"val_{metric.name}": evaluation.metric,
            "lr": learner.optimizer.param_groups[0]["lr"],
            "distance": learner.distance(),
        }
        if telemetry.gradient_norm:
            # Steps before a checkpoint may have been made without it, and fp16 skips those that overflow.
            norms = [row[1] for row in position.rows if len(row) > 1 and math.isfinite(row[1])]
            values["gradient_norm"] = _mean(norms) if norms else None
        if telemetry.buffer and (stats := learner.buffer_stats()):
            values |= {"buffer_variance": stats.variance, "buffer_cosine_similarity": stats.cosine_similarity}
            # Since its checkpoint a buffer has counted from the beginning.
            values["buffer_accepted"], seen = stats.accepted - seen, 0
        for name, gauge in gauges.items():
            # A second derivative does not go through a compiled model.
            with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"):
                due = (epoch + 1) % gauge.every_epochs == 0
                values[name] = gauge.measure(learner.model.eval(), task) if due else None
        learner.model.train()
        for key in dict.fromkeys([*position.curves, *values]):
            # What a run resumed with other telemetry did not record has no value.
            position.curves.setdefault(key, [None] * epoch).append(values.get(key))
        position.epoch, position.step_in_epoch, position.rows, carries = epoch + 1, 0, [], None
        if position.best is None or metric.better(evaluation.metric, position.best):
            position.best, position.best_epoch = evaluation.metric, epoch + 1
            if kept.keep_best and len(tasks) == 1:
                keep_weights(BEST)
        position.evaluation_seconds += time.perf_counter() - before
        observer.epoch_done(position.step, values)
        if position.step == total_steps:
            break
        if readout.read(interrupt.requested).interrupted:
            save()
            return measurement("interrupted", error=f"interrupted at step {position.step}")

    position.wall_seconds = earlier + time.perf_counter() - began
    keep_weights(WEIGHTS)
    if processes.leads:
        resume.unlink(missing_ok=True)
    return measurement("completed")


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return math.fsum(known) / len(known)


def _measure(
    position: Position, workload: Workload, learner: Learner, name: str, whole: bool, status: Status, **also: Any
) -> Measurement:
    curves, metric = position.curves, workload.metric.name
    metrics: dict[str, float | None] = {}
    if curves:
        metrics = {"train_loss_final": curves["train_loss"][-1], "distance": curves["distance"][-1]}
        validation = curves[f"val_{metric}"]
        if len(workload.tasks) > 1:
            # What the model was worth on each task at the end of its training on it (section 5.4).
            at_end = dict(zip(curves["task"], validation, strict=True))
            if whole:
                metrics[f"learning_{metric}"] = _mean(at_end.values())
        else:
            metrics |= {f"val_{metric}_best": position.best, f"val_{metric}_final": validation[-1]}
            metrics["epoch_best"] = position.best_epoch
    cost = Cost(
        wall_seconds=position.wall_seconds,
        evaluation_seconds=position.evaluation_seconds,
        steps=position.step,
        gradient_evaluations=position.step * get_info(name).gradient_evaluations,
        peak_memory_bytes=_peak_memory(learner.device),
        optimizer_state_bytes=state_bytes(learner.optimizer),
    )
    where = {"threads": torch.get_num_threads(), "processes": learner.processes.size}
    return Measurement(status, metrics=metrics, curves=curves, cost=cost, environment=where, **also)


def _peak_memory(device: torch.device) -> int:
    """Of the device where it keeps count, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def state_bytes(optimizer: Optimizer) -> int:
    """Bytes of all tensors in the optimizer's state, in this process; one that several parameters share counts once."""
    tensors = {
        id(value): local(value)
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    }
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
