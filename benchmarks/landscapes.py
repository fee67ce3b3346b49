"""How much faster lanes are than a loop over single runs, and how long all the paper's landscapes take.

    python benchmarks/landscapes.py [--json FILE]

The first on the whole experiment of Figure 6, both in this process.

The lane runner does all of it: 10 dimensions, 50 starts, six coefficients, six optimizers, 2,000 steps, measurements
included. Of the loop (one torch optimizer per run, on a vector of its own, nothing recorded) a few runs of a few
hundred steps are timed for each optimizer, right before its lanes, and extrapolated to all runs and steps: the first
steps, which are slower, are left out, in the loop's favour.

The second as `make landscapes` does it: its three commands, two of them at a time, with figures, into a new folder. A
machine that is shared makes the wall time longer, the processors' time stands beside it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import torch
from goals import Measured, write

from cmbench.experiments.plan import RunSpec
from cmbench.experiments.suite import builtin_suites, load_suite, read_suite
from cmbench.landscapes.cells import cell_starts, prepare, run_cells
from cmbench.landscapes.functions import sharp_flat
from cmbench.optim import create_optimizer
from cmbench.optim.threads import few_threads

SAMPLE_RUNS = 3
WARM_UP_STEPS = 50
SAMPLE_STEPS = 300


def seconds_per_step(spec: RunSpec, start: torch.Tensor) -> float:
    """The time of one step of one run by itself: its own parameter, its own optimizer."""
    x = start.clone().requires_grad_()
    hyperparameters = {key: value for key, value in spec.optimizer.hyperparameters.items() if key != "scope"}
    optimizer = create_optimizer(spec.optimizer.name, [x], **hyperparameters)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = sharp_flat(x, spec.settings.sharpness)
        loss.backward()
        return loss

    for _ in range(WARM_UP_STEPS):
        optimizer.step(closure)
    began = time.perf_counter()
    for _ in range(SAMPLE_STEPS):
        optimizer.step(closure)
    return (time.perf_counter() - began) / SAMPLE_STEPS


def measure() -> list[dict[str, float | str]]:
    """For each optimizer of the suite: seconds of its lanes, and of its loop as extrapolated."""
    specs = prepare(load_suite("escape_10d", kind="escape-ratio", sets=["starts=50"])).specs
    rows = []
    for label, group in groupby(specs, key=lambda spec: spec.optimizer.label):
        members = list(group)
        starts = cell_starts(members[0].settings, members[0].seed)
        with few_threads(0):
            step = statistics.median(seconds_per_step(members[i], starts[i]) for i in range(SAMPLE_RUNS))
        began = time.perf_counter()
        run_cells(members)
        lanes = time.perf_counter() - began
        rows.append(
            {
                "optimizer": label,
                "runs": len(members) * len(starts),
                "steps": members[0].settings.steps,
                "lanes_seconds": lanes,
                "loop_microseconds_per_step": step * 1e6,
                "loop_seconds": step * len(members) * len(starts) * members[0].settings.steps,
            }
        )
    return rows


def all_landscapes() -> tuple[float, float]:
    """Seconds on the clock, and of processors, of what `make landscapes` runs."""
    suites = {kind: [] for kind in ("toy", "escape-ratio", "convergence")}
    for name in builtin_suites():
        if (kind := read_suite(name)[2]["kind"]) in suites and not name.endswith("_peers"):
            suites[kind] += ["--suite", name]
    with tempfile.TemporaryDirectory() as folder:

        def run(kind: str) -> None:
            own = ["--quiet", "--out", f"{folder}/results", "--plot", f"{folder}/figures"]
            command = [sys.executable, "-m", "cmbench", kind, *suites[kind], *own]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, suites))
        seconds = time.perf_counter() - began
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="lanes against a loop over single runs, on Figure 6")
    parser.add_argument("--json", metavar="FILE", help="write what was measured beside its goals")
    arguments = parser.parse_args()

    rows = measure()
    lanes, loop = (sum(row[key] for row in rows) for key in ("lanes_seconds", "loop_seconds"))
    print(f"{'optimizer':14} {'runs':>5} {'steps':>6} {'lanes':>9} {'loop, extrapolated':>19} {'ratio':>7}")
    for row in rows:
        ratio = row["loop_seconds"] / row["lanes_seconds"]
        print(
            f"{row['optimizer']:14} {row['runs']:5} {row['steps']:6} {row['lanes_seconds']:7.2f} s "
            f"{row['loop_seconds']:17.0f} s {ratio:6.0f}×"
        )
    print(f"{'all':14} {'':5} {'':6} {lanes:7.2f} s {loop:17.0f} s {loop / lanes:6.0f}×")
    print(f"loop: {SAMPLE_RUNS} runs × {SAMPLE_STEPS} steps timed per optimizer, the median extrapolated")
    seconds, of_processors = all_landscapes()
    print(f"make landscapes: {seconds:.0f} s, {of_processors:.0f} s of processors")
    write(
        arguments.json,
        [
            Measured("landscapes", "make landscapes", seconds, "s", 45),
            Measured("landscapes", "make landscapes, of processors", of_processors, "s", 90),
            Measured("landscapes", "Figure 6 as lanes", lanes, "s", 10),
            Measured("landscapes", "Figure 6 as lanes, beside a loop", loop / lanes, "×", 50, at_least=True),
        ],
    )


if __name__ == "__main__":
    main()
