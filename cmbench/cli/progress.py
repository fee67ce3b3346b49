"""What a person sees while a plan runs: bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from cmbench.experiments.listener import Listener
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result

if TYPE_CHECKING:
    from cmbench.experiments.listener import Progress
    from cmbench.workloads.download import Arrived

LINE_EVERY_SECONDS = 10.0


class Narrator(Listener):
    """One line at the end of each run; in between a bar on a terminal, and a line every few seconds elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._quiet = quiet
        self._skipped = self._ran = self._total = self._waiting = 0
        self._labels: dict[str, str] = {}
        self._last_lines: dict[str, float] = {}
        self._bars: Any = None
        self._bar_of: dict[str, Any] = {}

    def __enter__(self) -> Narrator:
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        self._stop_bars()
        if kind is not None or self._quiet:
            return
        if self._skipped:
            what = "run was" if self._skipped == 1 else "runs were"
            rest = "" if self._ran else "; nothing to do (--force runs them again)"
            self._console.print(f"{self._skipped} {what} finished before{rest}")
        if self._ran and self._console.is_terminal:
            self._console.print()  # what goes to stdout now begins after an empty line

    def say(self, text: str) -> None:
        """A line of its own, before the runs."""
        if not self._quiet:
            self._console.print(text)

    def skipped(self, spec: RunSpec, result: Result) -> None:
        self._skipped += 1

    def planned(self, todo: Sequence[RunSpec]) -> None:
        self._total += len(todo)

    def started(self, spec: RunSpec) -> None:
        self._ran += 1
        label = f"\\[{self._ran}/{self._total}] {escape(spec.title)}"
        self._labels[spec.id] = label
        self._last_lines[spec.id] = time.monotonic()
        if self._quiet or not self._console.is_terminal:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        if self._bars is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(20),
                TextColumn("{task.fields[live]}"),
                TimeRemainingColumn(),
            )
            self._bars = Progress(*columns, console=self._console, transient=True)
            self._bars.start()
        self._bar_of[spec.id] = self._bars.add_task(label, total=None, live="")

    def progress(self, spec: RunSpec, now: Progress) -> None:
        run = spec.id
        loss = "" if now.loss is None else f"loss {now.loss:.4f}"
        live = loss if now.metric is None else f"{loss} val {now.metric:.4g}"
        if run in self._bar_of:
            self._bars.update(self._bar_of[run], total=now.total_steps, completed=now.step, live=live)
        elif not self._quiet and time.monotonic() - self._last_lines[run] > LINE_EVERY_SECONDS:
            self._last_lines[run] = time.monotonic()
            self._console.print(f"{self._labels[run]}: step {now.step}/{now.total_steps} {live}".rstrip())

    def step_done(self) -> None:
        """One more step of the only measurement that is going on, which counts none beforehand."""
        for bar in self._bar_of.values():
            steps = int(self._bars.tasks[self._bars.task_ids.index(bar)].completed) + 1
            self._bars.update(bar, advance=1, live=f"{steps} steps")

    def found(self, spec: RunSpec, result: Result) -> None:
        self._skipped += 1
        self._total -= 1

    def waiting(self, specs: Sequence[RunSpec]) -> None:
        if not self._quiet and len(specs) != self._waiting:
            self._waiting = len(specs)
            what = "run is being trained by another process" if len(specs) == 1 else "runs are being trained by others"
            self._console.print(f"{len(specs)} {what}; waiting (cmbench plan says where)")

    def remark(self, spec: RunSpec, text: str) -> None:
        if not self._quiet:
            self._console.print(f"{self._labels.get(spec.id, escape(spec.title))}: {escape(text)}")

    def ended(self, spec: RunSpec, result: Result) -> None:
        self._stop_bar(spec)
        if not self._quiet:
            seconds = f" in {result.cost.wall_seconds:.1f} s" if result.cost else ""
            self._console.print(f"{self._labels.get(spec.id, spec.title)}: {_summary(result)}{seconds}")

    def taken_over(self, spec: RunSpec, result: Result) -> None:
        if not self._quiet:
            self._console.print(
                f"{escape(spec.title)}: equals {escape(result.taken_from or '')}, taken over from there"
            )

    def failed(self, spec: RunSpec, details: str) -> None:
        self._stop_bar(spec)
        print(details, file=sys.stderr, end="")

    def _stop_bar(self, spec: RunSpec) -> None:
        bar = self._bar_of.pop(spec.id, None)
        if bar is not None:
            self._bars.remove_task(bar)
        if not self._bar_of:
            self._stop_bars()

    def _stop_bars(self) -> None:
        if self._bars:
            self._bars.stop()
            self._bars = None
            self._bar_of.clear()


class DownloadBars:
    """A bar for every file that is downloaded."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(30), DownloadColumn(), TransferSpeedColumn())
        self._bars = Progress(*columns, console=Console(stderr=True))
        self._bar_of: dict[str, Any] = {}

    def __enter__(self) -> DownloadBars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, arrived: Arrived) -> None:
        """More of a file is here."""
        if arrived.name not in self._bar_of:
            self._bar_of[arrived.name] = self._bars.add_task(arrived.name)
        self._bars.update(self._bar_of[arrived.name], completed=arrived.size, total=arrived.total)


def _summary(result: Result) -> str:
    if result.status != "completed":
        return f"[bold red]{result.status}[/]: {escape(result.error or '')}"
    shown = (
        *(key for key in result.metrics if key.startswith(("val_", "learning_")) and not key.endswith("_final")),
        *("top_eigenvalue", "m_sharpness", "adaptive_sharpness", "trace", "highest", "barrier", "centre"),
        "loss_final",
        "escape_ratio_all",
        "train_loss_final",
    )
    found = [(key, result.metrics[key]) for key in shown if result.metrics.get(key) is not None]
    return ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in found) or result.status
