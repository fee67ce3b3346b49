"""`cmbench train`: trains a suite's optimizers and prints its table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cmbench.cli.options import DEFAULT_OUT, DataDir, Device, Force, Json, Opt, Out, Quiet, Set
from cmbench.cli.plots import AnyAxis, Plot, checked_files, save_curves
from cmbench.cli.training import (
    Devices,
    Grid,
    Jobs,
    On,
    Seed,
    Seeds,
    Slurm,
    Suite,
    Threads,
    Workload,
    machine_of,
    suites_of,
)

if TYPE_CHECKING:
    from cmbench.experiments.settings import TrainSuite
    from cmbench.experiments.suite import ResolvedSuite

Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="mlflow|wandb|tensorboard[:WHERE]",
        help="Show settings, curves and ends of the runs there as well. Repeatable.",
    ),
]


def train(
    suite: Suite,
    workload: Workload = None,
    opt: Opt = None,
    seed: Seed = None,
    seeds: Seeds = None,
    grid: Grid = False,
    set_: Set = None,
    device: Device = None,
    devices: Devices = None,
    jobs: Jobs = None,
    threads: Threads = None,
    on: On = None,
    slurm: Slurm = None,
    data_dir: DataDir = None,
    out: Out = DEFAULT_OUT,
    track: Track = None,
    plot: Plot = None,
    axis: AnyAxis = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train every optimizer of a suite for every seed; finished runs are not repeated.

    Under `torchrun` (`torchrun --nproc-per-node 2 -m cmbench train …`) all processes train each run together.
    """
    suites = suites_of(suite, workload=workload, opt=opt, seed=seed, seeds=seeds, grid=grid, sets=set_)

    from cmbench.api import Workloads, check_suite, run_suite
    from cmbench.cli.finish import collecting, finish, together
    from cmbench.cli.progress import Narrator
    from cmbench.training.processes import is_main_process

    machine = machine_of(
        device=device, devices=devices, jobs=jobs, threads=threads,
        data_dir=data_dir, track=track, on=on, slurm=slurm,
    )  # fmt: skip
    files = checked_files(plot, suites)
    workloads, only = Workloads(machine), list(dict.fromkeys(seed)) if seed else None
    run = partial(run_suite, out=out, seeds=only, force=force, machine=machine, workloads=workloads)
    if len(suites) > 1:
        for each in suites:
            check_suite(each, workloads)  # what is wrong with the last one is said before the first one runs
    main = is_main_process()
    with Narrator(quiet=quiet or not main) as narrator, collecting(json=json and main) as outcomes:
        for number, each in enumerate(suites):
            workloads.keep(suites[number:])
            if grid:
                narrator.say(_size(each, only))
            outcomes.append(run(each, listener=narrator))
    if main:
        save_curves(outcomes, suites, files, axis or "epochs", quiet=quiet)
        outcome = together(outcomes)
        finish(outcome, json=json, suites=suites, specs=outcome.specs)


def _size(grid: ResolvedSuite[TrainSuite], seeds: Sequence[int] | None) -> str:
    """`digits_grid: 72 settings × 2 seeds = 144 runs`."""
    from cmbench.report.captions import plural

    trials, count = len(grid.optimizers), len(seeds) if seeds else grid.settings.seeds
    return f"{grid.name}: {plural(trials, 'setting')} × {plural(count, 'seed')} = {plural(trials * count, 'run')}"
