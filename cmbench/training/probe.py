"""What a step of a training takes, tried out in a folder that is thrown away."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from cmbench.experiments.estimate import Sample, settings_key
from cmbench.experiments.listener import Progress
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.settings import TrainSettings
from cmbench.training.observer import Observer
from cmbench.training.position import Length
from cmbench.training.trainer import train
from cmbench.workloads.base import Workload

STEPS = 20
_WARM_UP = 3


def probe(spec: RunSpec[TrainSettings], workload: Workload, device: torch.device) -> Sample | None:
    """A sample from so many steps of the run, besides those that warm up; None where it does not get that far.

    `workload` has been loaded onto `device`.
    """
    limited = spec.settings.model_copy(update={"max_steps": _WARM_UP + STEPS})
    watch = _Watch()
    with tempfile.TemporaryDirectory() as folder:
        measured = train(
            spec.model_copy(update={"settings": limited}),
            workload,
            device,
            lambda suffix: Path(folder, f"probe{suffix}"),
            observer=watch,
        )
    cost, length = measured.cost, Length.of(spec.settings, workload.tasks)
    if measured.status != "completed" or cost is None or watch.seconds is None:
        return None
    per_pass = sum(length.steps_per_epoch)
    return Sample(
        settings_key(spec.settings.document()),
        spec.chosen_optimizer.name,
        round(cost.gradient_evaluations / cost.steps),
        watch.seconds + cost.evaluation_seconds * len(length.steps_per_epoch) / per_pass,
        per_pass,
        cost.peak_memory_bytes or 0,
    )


def probed_samples(
    specs: Iterable[RunSpec[TrainSettings]], workload: Workload, known: Iterable[Sample], device: torch.device
) -> list[Sample]:
    """A sample for every optimizer and settings among the specs that none is `known` of."""
    have, found = {(sample.settings, sample.optimizer) for sample in known}, list[Sample | None]()
    for spec in specs:
        key = settings_key(spec.settings.document()), spec.chosen_optimizer.name
        if key not in have:
            have.add(key)
            workload.load_once(device)
            found.append(probe(spec, workload, device))
    return [sample for sample in found if sample]


class _Watch(Observer):
    """Seconds per step between the first and the last reading after the warm-up, at which the device has caught up."""

    def __init__(self) -> None:
        self._readings: list[tuple[int, float]] = []

    def progress(self, now: Progress) -> None:
        if now.step >= _WARM_UP:
            self._readings.append((now.step, time.perf_counter()))

    @property
    def seconds(self) -> float | None:
        if len(self._readings) < 2:
            return None
        (first, began), *_, (last, ended) = self._readings
        return (ended - began) / (last - first)
