"""How long `cmbench report` takes over many results, with what memory, and a plan of many runs that are finished.

    python benchmarks/scale.py [--results N ...] [--runs 10000] [--keep DIR] [--require]

The results are made up, in their true format: training runs of 12 epochs, of ten optimizers and fifty seeds in each
suite, beside `digits`, which ships with cmbench. A report is a whole process, by the wall clock and its largest
resident memory. A plan is timed within a process of its own, after its imports: from the suite to the runs, their
identities, and the finished result of each in the store. Exit code 1 where `--require` is given and a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cmbench.experiments.plan import RunSpec, plan_training
from cmbench.experiments.result import Cost, JudgedBy, Result
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import ResolvedSuite, load_suite

EPOCHS, SEEDS, OPTIMIZERS = 12, 50, 10
DATA = "0123456789abcdef.v1"
PLAN = """
import sys, time
from cmbench.experiments.execute import execute
from cmbench.experiments.plan import plan_training
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import load_suite

began = time.perf_counter()
def engine(groups, listener):
    assert not groups, "a finished run would be run again"
    return iter(())
outcome = execute(plan_training(load_suite(sys.argv[1]), sys.argv[2]), ResultStore(sys.argv[3]), engine)
print(time.perf_counter() - began, outcome.skipped)
"""


@dataclass(frozen=True)
class Goal:
    """The most seconds and MB that something may take; None where nothing is asked."""

    seconds: float | None = None
    megabytes: float | None = None


REPORTS = {100: Goal(1), 10_000: Goal(2.8, 303), 100_000: Goal(25, 1000)}
PLANNING = Goal(3)


def suite(folder: Path, name: str, seeds: int, epochs: int = EPOCHS) -> ResolvedSuite:
    """A suite of ten optimizers that differ in their learning rates and capacities."""
    labels = [f"  adam_cm C={5 + i}: {{name: adam_cm, lr: 1e-3, capacity: {5 + i}}}" for i in range(OPTIMIZERS)]
    head = ["kind: train", "description: made up", "workload: digits", f"epochs: {epochs}", "batch_size: 64"]
    path = folder / f"{name}.yaml"
    path.write_text("\n".join([*head, f"seeds: {seeds}", "optimizers:", *labels]) + "\n")
    return load_suite(str(path))


def planned(folder: Path, count: int) -> Iterator[RunSpec]:
    """So many runs: the first 25 are those of `digits`, the others of suites made up in `folder`."""
    yield from plan_training(load_suite("digits", kind="train"), DATA)
    left, number = count - 25, 0
    while left > 0:
        specs = plan_training(suite(folder, f"made_up_{number}", SEEDS, EPOCHS + number % 3), DATA)
        yield from specs[:left]
        left, number = left - len(specs), number + 1


def document(spec: RunSpec, draw: random.Random) -> dict:
    """A result of the run as it is stored."""
    best = 95 + draw.random()
    curve = [best - 10 / (epoch + 1) for epoch in range(EPOCHS)]
    result = Result(
        kind=spec.kind,
        id=spec.id,
        suite=spec.suite,
        optimizer=spec.optimizer,
        seed=spec.seed,
        settings=spec.settings_document(),
        status="completed",
        judged_by=JudgedBy(metric="accuracy", better="higher"),
        metrics={
            "train_loss_final": draw.random(),
            "distance": 4 + draw.random(),
            "val_accuracy_best": max(curve),
            "val_accuracy_final": curve[-1],
            "epoch_best": float(EPOCHS),
        },
        curves={
            "epoch": list(range(1, EPOCHS + 1)),
            **{name: [value * draw.random() for value in curve] for name in ("train_loss", "val_loss", "distance")},
            "val_accuracy": curve,
            "lr": [1e-3] * EPOCHS,
        },
        cost=Cost(wall_seconds=3 + draw.random(), steps=276, gradient_evaluations=276, optimizer_state_bytes=79488),
        environment={
            "cmbench": "0.1.0",
            "python": "3.11.7",
            "torch": "2.9.0",
            "platform": "Linux x86_64",
            "cpu": "made up",
            "device": "cpu",
            "threads": 2,
            "deterministic_algorithms": False,
            "tf32": False,
            "git_commit": None,
            "processes": 1,
            "data": DATA,
        },
        created="2026-01-01T00:00:00+00:00",
    )
    return result.model_dump(by_alias=True, mode="json")


def make(specs: Iterator[RunSpec], out: Path) -> None:
    """Writes a result for each of the specs, without waiting for the disk as the store does."""
    draw, store = random.Random(0), ResultStore(out)
    for spec in specs:
        path = store.path(spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document(spec, draw), indent=1, ensure_ascii=False) + "\n")


def report(out: Path) -> tuple[float, float]:
    """Seconds and MB of `cmbench report` over the folder; after another one, so that the files are in memory."""
    line = [sys.executable, "-m", "cmbench", "report", "--out", str(out)]
    seconds = megabytes = 0.0
    for _ in range(2):
        began = time.perf_counter()
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(line)}: exit code {process.returncode}")
        megabytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return seconds, megabytes


def planning(folder: Path, runs: int) -> float:
    """Seconds from a suite to its finished runs."""
    own = suite(folder, "planned", runs // OPTIMIZERS)
    out = folder / "planned"
    if not out.exists():
        make(iter(plan_training(own, DATA)), out)
    line = [sys.executable, "-c", PLAN, str(folder / "planned.yaml"), DATA, str(out)]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    seconds, skipped = done.stdout.split()
    assert int(skipped) == runs // OPTIMIZERS * OPTIMIZERS
    return float(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, nargs="*", default=list(REPORTS), help="of a report")
    parser.add_argument("--runs", type=int, default=10_000, help="of a plan; 0 for none")
    parser.add_argument("--keep", type=Path, help="a folder for what is made up, which is found there again")
    parser.add_argument("--require", action="store_true", help="exit with 1 where a goal is missed")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        rows = []
        for count in arguments.results:
            out = folder / f"results_{count}"
            if not out.exists():
                folder.mkdir(parents=True, exist_ok=True)
                make(planned(folder, count), out)
            rows.append((f"report of {count:,} results", *report(out), REPORTS.get(count, Goal())))
        if arguments.runs:
            folder.mkdir(parents=True, exist_ok=True)
            goal = PLANNING if arguments.runs <= 10_000 else Goal()
            rows.append((f"plan of {arguments.runs:,} finished runs", planning(folder, arguments.runs), None, goal))
    missed = show(rows)
    return 1 if arguments.require and missed else 0


def show(rows: list[tuple[str, float, float | None, Goal]]) -> bool:
    """Prints each measurement beside its goal; whether one was missed."""
    table, missed = Table(), False
    table.add_column("what", no_wrap=True)
    for column in ("s", "goal", "MB", "goal"):
        table.add_column(column, justify="right")
    for what, seconds, megabytes, goal in rows:
        cells = [what]
        for value, most, digits in ((seconds, goal.seconds, 2), (megabytes, goal.megabytes, 0)):
            over = value is not None and most is not None and value > most
            missed = missed or over
            shown = "" if value is None else f"{value:,.{digits}f}"
            cells += [f"[red]{shown}[/red]" if over else shown, "" if most is None else f"{most:g}"]
        table.add_row(*cells)
    Console(width=100).print(table)
    return missed


if __name__ == "__main__":
    sys.exit(main())
