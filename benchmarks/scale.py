"""How long `cmbench report` takes over many results, with what memory, and a plan of many runs that are finished.

    python benchmarks/scale.py [--results N ...] [--runs 10000] [--keep DIR] [--json FILE]

The results are made up, in their true format: training runs of 12 epochs, of ten optimizers and fifty seeds in each
suite, beside `digits`, which ships with cmbench. A report is a whole process, by the wall clock and its largest
resident memory. A plan is timed within a process of its own, after its imports: from the suite to the runs, their
identities, and the finished result of each in the store.
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
from pathlib import Path

from goals import Measured, table, write
from rich.console import Console

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
def engine(groups, listener, record):
    assert not groups, "a finished run would be run again"
    return iter(())
outcome = execute(plan_training(load_suite(sys.argv[1]), sys.argv[2]), ResultStore(sys.argv[3]), engine)
print(time.perf_counter() - began, outcome.skipped)
"""


REPORTS = {100: (1, None), 10_000: (2.8, 303), 100_000: (25, 1000)}
"""The most seconds and MB that a report of so many results should take."""
PLANNING = 3


def suite(folder: Path, name: str, seeds: int, epochs: int = EPOCHS) -> ResolvedSuite:
    """A suite of ten optimizers that differ in their learning rates and capacities."""
    labels = [f"  adam_cm C={5 + i}: {{name: adam_cm, lr: 1e-3, capacity: {5 + i}}}" for i in range(OPTIMIZERS)]
    head = ["kind: train", "description: made up", "workload: digits", f"epochs: {epochs}", "batch_size: 64"]
    path = folder / f"{name}.yaml"
    path.write_text("\n".join([*head, f"seeds: {seeds}", "optimizers:", *labels]) + "\n", encoding="utf-8")
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
        path.write_text(json.dumps(document(spec, draw), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, nargs="*", default=list(REPORTS), help="of a report")
    parser.add_argument("--runs", type=int, default=10_000, help="of a plan; 0 for none")
    parser.add_argument("--keep", type=Path, help="a folder for what is made up, which is found there again")
    parser.add_argument("--json", metavar="FILE", help="write what was measured beside its goals")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measured = []
        for count in arguments.results:
            out = folder / f"results_{count}"
            if not out.exists():
                make(planned(folder, count), out)
            what, goal = f"report of {count:,} results", REPORTS.get(count, (None, None))
            values = zip(report(out), ("s", "MB"), goal, strict=True)
            measured += [Measured("scale", what, value, unit, most) for value, unit, most in values]
        if arguments.runs:
            goal, seconds = PLANNING if arguments.runs <= 10_000 else None, planning(folder, arguments.runs)
            measured.append(Measured("scale", f"plan of {arguments.runs:,} finished runs", seconds, "s", goal))
    Console().print(table(measured))
    write(arguments.json, measured)


if __name__ == "__main__":
    main()
