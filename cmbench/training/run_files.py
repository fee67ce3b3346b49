"""What a run writes while it goes on, and takes up again after it was stopped: its checkpoint and its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from cmbench.errors import Unreadable, UserError
from cmbench.experiments.files import RESUME, set_aside
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.settings import MOST_THREADS, TelemetrySettings, TrainSettings
from cmbench.training import checkpoint
from cmbench.training.learner import Learner
from cmbench.training.position import Position
from cmbench.training.processes import Processes
from cmbench.training.schedules import Rate


class RunFiles:
    """The files of the run of `spec`, whose model and optimizer `learner` holds.

    `path` gives the file with a suffix. Every process must call every method; the first one reads, and writes unless
    `verify` raises; `remark` hears of what cannot be written. `telemetry` is what the run records: what the spec asks
    for, or more, if its checkpoint does.
    """

    def __init__(
        self,
        spec: RunSpec[TrainSettings],
        path: Callable[[str], Path],
        learner: Learner,
        processes: Processes,
        verify: Callable[[], object],
        remark: Callable[[str], None],
    ) -> None:
        self._run, self.telemetry = spec.id, spec.telemetry or TelemetrySettings()
        self._path, self._learner, self._processes, self._verify = path, learner, processes, verify
        self._remark, self._refused = remark, set[str]()

    @property
    def is_there(self) -> bool:
        """Whether there is a checkpoint."""
        return bool(self._processes.broadcast(self._path(RESUME).exists()))

    def resume(self, rate: Rate, epochs: int) -> tuple[Position, Any] | None:
        """Takes up the checkpoint, if there is one: returns where it was, and what the batch before has left.

        One that was made without the telemetry that is asked for is left alone: curves with holes would come of it.
        Raises `Unreadable` for a file that does not fit this run, after which the learner is of no use, and `UserError`
        for a checkpoint that another command could go on from.
        """
        if not self.is_there:
            return None
        taken_up: tuple[Position, Any] | None = None
        refused: UserError | None = None
        try:
            taken_up = self._taken_up(rate, epochs)
        except UserError as error:
            refused = error
        for each in self._processes.gather(refused):  # one of them may lack its own part
            if each:
                raise each
        return taken_up

    def _taken_up(self, rate: Rate, epochs: int) -> tuple[Position, Any] | None:
        """The same for this process alone."""
        path, device, processes = self._path(RESUME), self._learner.device, self._processes
        saved = checkpoint.load_to_resume(path, self._run, processes.size, device)
        try:
            recorded = TelemetrySettings.model_validate(saved["telemetry"])
            if not recorded.covers(self.telemetry, epochs):
                self.telemetry = self.telemetry.together_with(recorded)
                return None
            self.telemetry = recorded
            position = TypeAdapter(Position).validate_python(saved["position"])
            position.check()
            self._learner.load(saved["learner"])
            rate.load(saved.get("rate", {}))
            own = saved["processes"][processes.rank]
            checkpoint.set_random_state(own["random"], device)
            # How many threads compute a sum decides its last bits: this run goes on with those that it began with.
            if saved["threads"] not in range(1, MOST_THREADS + 1):
                raise ValueError(f"{saved['threads']!r} threads")
            torch.set_num_threads(saved["threads"])
            return position, checkpoint.moved(own["carries"], device)
        except checkpoint.PASSING:
            raise
        except Exception as error:  # whatever torch's modules and optimizers, or those of others, make of it
            problem = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise Unreadable(f"{path}: a checkpoint that does not fit this run ({problem})") from None

    def set_aside(self) -> str:
        """Renames the checkpoint, which does not fit, so that another can take its place; its new name."""
        if self._processes.is_main_process:
            self._verify()
            return set_aside(self._path(RESUME)).name
        return ""

    def save(self, position: Position, carries: Any, rate: Rate) -> None:
        """Writes the checkpoint."""
        device = self._learner.device
        state = {"carries": checkpoint.moved(carries, torch.device("cpu")), "random": checkpoint.random_state(device)}
        own = self._processes.gather(state)
        content: dict[str, Any] = {"learner": self._learner.state(), "processes": own, "position": asdict(position)}
        if self._processes.is_main_process:
            self._verify()
            content |= {"telemetry": self.telemetry.model_dump(mode="json")}
            content |= {"rate": rate.state(), "threads": torch.get_num_threads(), "device": device.type}
            self._write(RESUME, content | {"run": self._run}, "goes on without a new checkpoint")

    def keep_weights(self, suffix: str, epoch: int) -> None:
        """Writes the model's weights, and their average where there is one, as they are after so many epochs."""
        weights = self._learner.weights()
        if self._processes.is_main_process:
            self._verify()
            content = {"model": weights, "run": self._run, "epoch": epoch}
            if average := self._learner.average:
                content["average"] = average.model.state_dict()
            self._write(suffix, content, "these weights are not kept")

    def _write(self, suffix: str, content: dict[str, Any], instead: str) -> None:
        """Writes the file, or says once why it cannot: the run itself needs none of them."""
        path = self._path(suffix)
        try:
            checkpoint.save(path, content)
        except OSError as error:
            if suffix not in self._refused:
                self._remark(f"{path}: cannot be written: {error.strerror or error}; {instead}")
            self._refused.add(suffix)

    def forget(self) -> None:
        """Removes the checkpoint."""
        if self._processes.is_main_process:
            self._verify()
            try:
                self._path(RESUME).unlink(missing_ok=True)
            except OSError as error:
                self._remark(f"{self._path(RESUME)}: cannot be removed: {error.strerror or error}")
