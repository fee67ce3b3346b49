"""What a person sees while a plan runs: bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from cmbench.experiments.execute import Listener
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result

if TYPE_CHECKING:
    from cmbench.training.trainer import Progress

LINE_EVERY_SECONDS = 10.0


class Narrator(Listener):
    """One line at the end of each run; in between a bar on a terminal, and a line every few seconds elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._quiet = quiet
        self._bar: Any = None
        self._skipped = self._ran = 0
        self._labels: dict[str, str] = {}
        self._label = ""
        self._last_line = 0.0

    def __enter__(self) -> Narrator:
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        self._stop_bar()
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

    def started(self, spec: RunSpec, position: int, total: int) -> None:
        self._ran += 1
        self._label = f"\\[{position}/{total}] {escape(spec.title)}"
        self._labels[spec.id] = self._label
        self._last_line = time.monotonic()
        if self._quiet or not self._console.is_terminal:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._stop_bar()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(20),
            TextColumn("{task.fields[live]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._bar.add_task(self._label, total=None, live="")
        self._bar.start()

    def progress(self, now: Progress) -> None:
        """Live state of the training run that was started last."""
        metric = "" if now.metric is None else f" val {now.metric:.2f}"
        live = f"loss {now.loss:.4f}{metric}"
        if self._bar:
            self._bar.update(self._bar.task_ids[0], total=now.total_steps, completed=now.step, live=live)
        elif not self._quiet and time.monotonic() - self._last_line > LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"{self._label}: step {now.step}/{now.total_steps} {live}")

    def product_done(self) -> None:
        """One more Hessian-vector product of the measurement that was started last."""
        if self._bar:
            task = self._bar.tasks[0]
            self._bar.update(task.id, advance=1, live=f"{int(task.completed) + 1} products")

    def ended(self, spec: RunSpec, result: Result, path: Path) -> None:
        self._stop_bar()
        if not self._quiet:
            seconds = f" in {result.cost.wall_seconds:.1f} s" if result.cost else ""
            self._console.print(f"{self._labels[spec.id]}: {_summary(result)}{seconds}")

    def failed(self, spec: RunSpec, details: str) -> None:
        self._stop_bar()
        print(details, file=sys.stderr, end="")

    def _stop_bar(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None


def _summary(result: Result) -> str:
    if result.status != "completed":
        return f"[bold red]{result.status}[/]: {escape(result.error or '')}"
    shown = (
        "val_accuracy_best",
        "val_perplexity_best",
        "top_eigenvalue",
        "loss_final",
        "escape_ratio_all",
        "train_loss_final",
    )
    found = [(key, result.metrics[key]) for key in shown if result.metrics.get(key) is not None]
    return ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in found) or result.status
