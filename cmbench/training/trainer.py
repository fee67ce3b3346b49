"""The training loop: from a run's spec to its measurement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from cmbench.errors import Unreadable
from cmbench.experiments.files import BEST, WEIGHTS
from cmbench.experiments.listener import Progress
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.record import Measurement
from cmbench.experiments.seeding import TASKS, generator
from cmbench.experiments.settings import CheckpointSettings, TrainSettings
from cmbench.training.epoch_end import EpochEnd
from cmbench.training.interrupt import Interrupt
from cmbench.training.learner import Learner
from cmbench.training.observer import Gauges, Observer, no_gauges
from cmbench.training.outcome import measurement
from cmbench.training.position import Clock, Ending, Length, Position
from cmbench.training.processes import ALONE, Processes
from cmbench.training.readout import Readout
from cmbench.training.run_files import RunFiles
from cmbench.training.schedules import rate_of
from cmbench.workloads.base import Workload


@cache
def _warm_up() -> None:
    """torch loads a good part of itself at a process's first step: no run's time should include that."""
    parameter = torch.zeros(1, requires_grad=True)
    torch.autograd.backward(parameter.sum())
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
    resume: bool = True,
    observer: Observer = Observer(),
    gauges: Gauges = no_gauges,
    interrupt: Interrupt = Interrupt(),
    verify: Callable[[], object] = lambda: None,
) -> Measurement:
    """Runs `spec` to its end; with `resume`, on from the checkpoint of a run that was stopped.

    When `interrupt` is requested it ends at the next reading of the losses, with a checkpoint. `workload` has been
    loaded onto `device`. `files` gives the path of this run's file with a suffix; the weights that the run ends with
    are left at `files(".pt")`, those of its best epoch at `files(".best.pt")`. Its checkpoint stays until the result
    is stored. `verify` is called before any of them is written; what it raises ends the run.
    """
    _warm_up()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def made() -> _Run:
        learner = Learner(spec, workload, device, processes)
        for task in workload.tasks:
            learner.check_batches(task)
        run_files = RunFiles(spec, files, learner, processes, verify, observer.remark)
        if not resume:
            run_files.forget()
        return _Run(spec, workload, learner, run_files, processes, observer, gauges, interrupt)

    run, unfit = made(), ""
    try:
        run.resume()
    except Unreadable as error:
        unfit = f"{error}; set aside as {run.files.set_aside()}: from the beginning"
    if unfit:
        observer.remark(unfit)
        del run  # and what it holds of the device's memory
        run = made()
        run.resume()
    learner, run_files = run.learner, run.files
    observer.started(run.position.step, run.length.steps)
    ending, position = run.to_its_end(), run.position
    if ending.status != "interrupted":
        position.wall_seconds = run.clock.seconds
        if ending.status == "completed":
            with learner.stepper.evaluating():
                run_files.keep_weights(WEIGHTS, position.epoch)
    whole = run.length.whole and position.step == run.length.steps
    return measurement(workload, learner, position, ending, run.telemetry, whole)


class _Run:
    """A run that goes on: from the beginning, or from its checkpoint."""

    def __init__(
        self,
        spec: RunSpec[TrainSettings],
        workload: Workload,
        learner: Learner,
        files: RunFiles,
        processes: Processes,
        observer: Observer,
        gauges: Gauges,
        interrupt: Interrupt,
    ) -> None:
        self.spec, self.settings, self.metric = spec, spec.settings, workload.metric
        self.tasks = workload.tasks_of_run(generator(spec.seed, TASKS))
        self.kept = spec.checkpoint or CheckpointSettings()
        self.learner, self.files, self.processes = learner, files, processes
        self.observer, self.interrupt = observer, interrupt
        self.length = Length.of(spec.settings, self.tasks)
        self.carries: list[Any] | None
        self.rate = rate_of(self.settings.schedule, learner, self.length)
        self.gauges = gauges

    def resume(self) -> None:
        """Goes to where its checkpoint was made, else to the beginning; raises as `RunFiles.resume`."""
        files, learner = self.files, self.learner
        resumed = files.resume(self.rate, self.length.epochs)
        if resumed is None and files.is_there:
            self.observer.remark("its checkpoint lacks what the telemetry asks for: from the beginning")
        self.position, self.carries = resumed or (Position(), None)
        self.telemetry = files.telemetry
        learner.stepper.evaluations = self.position.gradient_evaluations
        measured = self.gauges(self.telemetry, self.settings.batch_size)
        self.epoch_end = EpochEnd(learner, self.tasks, self.telemetry, measured, self.position)
        self.readout = Readout(self.processes, learner.device, self.kept.every_minutes)
        self.clock = Clock(self.position.wall_seconds)

    def to_its_end(self) -> Ending:
        """Epoch after epoch, on task after task."""
        for epoch in range(self.position.epoch, self.length.epochs):
            if ending := self._make_steps(epoch):
                return ending
            enough = self._end_epoch(epoch)
            if self.position.step == self.length.steps:
                break
            if self.readout.read(enough or self.interrupt.requested).interrupted:
                self._save()
                return self._interrupted()
        return Ending("completed")

    def _make_steps(self, epoch: int) -> Ending | None:
        """The steps of one epoch, or what is left of it; why the run ends among them, if it does."""
        position, learner, settings = self.position, self.learner, self.settings
        which = epoch // settings.epochs
        task = self.tasks[which]
        order = generator(self.spec.seed, "order", epoch)
        batches = task.batches(settings.batch_size, order, position.step_in_epoch, self.processes.shard)
        for batch in islice(batches, self.length.steps - position.step):
            self.rate.before(position.step, epoch)
            loss, self.carries = learner.step(task, batch, self.carries)
            numbers = [loss, learner.gradient_norm()] if self.telemetry.gradient_norm else [loss]
            self.readout.add(torch.stack(numbers))
            position.step += 1
            position.gradient_evaluations = learner.stepper.evaluations
            if learner.average:
                learner.average.follow(position.step)
            position.step_in_epoch += 1
            due = position.step % self.kept.every_steps == 0
            ends = position.step_in_epoch == self.length.steps_per_epoch[which] or position.step == self.length.steps
            if (due or ends or self.readout.is_time) and (ending := self._look(epoch, due)):
                return ending
        return None

    def _look(self, epoch: int, due: bool) -> Ending | None:
        """Reads the losses, and writes a checkpoint where it is `due`; why the run ends here, if it does."""
        position = self.position
        reading = self.readout.read(self.interrupt.requested)
        position.rows += reading.rows
        losses = [row[0] for row in reading.rows]
        metric = position.curves.get(f"val_{self.metric.name}", [None])[-1]
        now = Progress(position.step, self.length.steps, epoch, self.length.epochs, losses[-1], metric)
        self.observer.progress(now)
        for step, value in enumerate(losses, position.step - len(losses) + 1):
            if not abs(value) <= self.settings.loss_bound:
                return Ending("diverged", f"training loss {value:g} at step {step}", step)
        if due or reading.checkpoint or reading.interrupted:
            self._save()
        return self._interrupted() if reading.interrupted else None

    def _end_epoch(self, epoch: int) -> bool:
        """Measures, adds to the curves, and keeps the best weights; whether an observer has seen enough."""
        before, position = time.perf_counter(), self.position
        with self.learner.stepper.evaluating():
            evaluation, values = self.epoch_end.measure(epoch + 1, epoch // self.settings.epochs, position.rows)
            for key in dict.fromkeys([*position.curves, *values]):
                position.curves.setdefault(key, [None] * epoch).append(values.get(key))
            position.epoch, position.step_in_epoch, position.rows, self.carries = epoch + 1, 0, [], None
            if position.best is None or self.metric.better(evaluation.metric, position.best):
                position.best, position.best_epoch = evaluation.metric, epoch + 1
                if self.kept.keep_best and len(self.tasks) == 1:
                    self.files.keep_weights(BEST, position.epoch)
        position.evaluation_seconds += time.perf_counter() - before
        return self.observer.epoch_done(position.step, position.epoch, values)

    def _save(self) -> None:
        self.position.wall_seconds = self.clock.seconds
        self.files.save(self.position, self.carries, self.rate)
        self.readout.saved()

    def _interrupted(self) -> Ending:
        return Ending("interrupted", f"interrupted at step {self.position.step}")
