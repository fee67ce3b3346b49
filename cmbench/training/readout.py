"""When the host looks at the device: losses wait there and are read together, at the same step in every process."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from cmbench.training.processes import Processes

SECONDS = 0.5
"""About so often the losses are read: each time, the host waits for the device."""
MOST_STEPS = 100


@dataclass(frozen=True)
class Reading:
    """What was on the device, one row per step, and what the processes do next, all alike."""

    rows: list[list[float]]
    interrupted: bool
    checkpoint: bool


class Readout:
    """Collects the numbers of every step, (k,) on the device, as their part of a mean over the processes.

    The first process's clock says when they are read and when a checkpoint is due; all learn it from the same sum.
    """

    def __init__(self, processes: Processes, device: torch.device, checkpoint_minutes: float | None) -> None:
        self._processes, self._device = processes, device
        self._checkpoint_seconds = 60 * checkpoint_minutes if checkpoint_minutes else None
        self._unread: list[Tensor] = []
        self._interval, self._pace = 1, 0.0
        self._read_at = self._saved_at = time.perf_counter()

    def add(self, numbers: Tensor) -> None:
        """Keeps the numbers of one more step."""
        self._unread.append(numbers)

    @property
    def is_time(self) -> bool:
        """Whether enough steps have been made since the last reading."""
        return len(self._unread) >= self._interval

    def read(self, interrupted: bool) -> Reading:
        """Everything that is unread, if anything; every process must call it at the same step."""
        is_main, now = self._processes.is_main_process, time.perf_counter()
        late = self._checkpoint_seconds is not None and now - self._saved_at > self._checkpoint_seconds
        rows = torch.stack(self._unread) if self._unread else torch.zeros(0, 1, device=self._device)
        flags = torch.tensor([interrupted, is_main and late, self._pace if is_main else 0.0], device=self._device)
        together = self._processes.all_reduce(torch.cat([rows.flatten() / self._processes.size, flags])).tolist()
        *numbers, stop, save, pace = together
        width = rows.shape[1]
        fitting = int(SECONDS / pace) if pace > 0 else MOST_STEPS
        self._interval = max(1, min(fitting, 2 * self._interval, MOST_STEPS))
        # Now the device has come to an end with these steps.
        now = time.perf_counter()
        if self._unread:
            self._pace = (now - self._read_at) / len(self._unread)
        self._unread.clear()
        self._read_at = now
        return Reading([numbers[i : i + width] for i in range(0, len(numbers), width)], stop > 0, save > 0)

    def saved(self) -> None:
        """A checkpoint was written."""
        self._saved_at = time.perf_counter()
