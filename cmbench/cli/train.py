"""`cmbench train`: trains a suite's optimizers and prints its table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cmbench.cli.options import DEFAULT_OUT, DataDir, Device, Force, Json, Opt, Out, Quiet, Set

if TYPE_CHECKING:
    from cmbench.experiments.settings import TrainSuite
    from cmbench.experiments.suite import ResolvedSuite

Suite = Annotated[
    str,
    typer.Option("--suite", metavar="NAME|FILE", help="What to train: a suite, or a place in the paper, e.g. table2."),
]
Workload = Annotated[
    str | None,
    typer.Option(
        "--workload",
        metavar="NAME|MODULE:NAME|FILE.py:NAME",
        help="Another workload than the suite's: a registered one, or your own.",
    ),
]
Seed = Annotated[list[int] | None, typer.Option("--seed", metavar="N", min=0, help="Only this seed. Repeatable.")]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", min=1, help="This many seeds, from 0; with --grid from 1000, 2 if absent."),
]
Grid = Annotated[
    bool, typer.Option("--grid", help="Run the suite's grid of hyperparameters instead, and name the best settings.")
]
Jobs = Annotated[
    str | None,
    typer.Option(
        "--jobs",
        metavar="N|auto",
        help="This many runs at once, each in a process of its own; auto: as the machine allows. [default: 1]",
    ),
]
Devices = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="cuda:0,cuda:2,…",
        help="The runs at once get these in turn. [default: every GPU that is visible]",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        help="Threads of each run; they decide a result's last bits on a CPU. [default: all ÷ --jobs]",
    ),
]
TensorBoard = Annotated[
    Path | None, typer.Option("--tensorboard", metavar="DIR", help="Write the curves there as well.")
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
    data_dir: DataDir = None,
    out: Out = DEFAULT_OUT,
    tensorboard: TensorBoard = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train every optimizer of a suite for every seed; finished runs are not repeated.

    Under `torchrun` (`torchrun --nproc-per-node 2 -m cmbench train …`) all processes train each run together.
    """
    from cmbench.errors import UserError
    from cmbench.experiments.grid import load_grid
    from cmbench.experiments.suite import load_suite, named

    if seed and seeds:
        raise UserError("--seed and --seeds: accepted: one of them")
    sets = [*([f"workload={workload}"] if workload else ()), *(set_ or ()), *([f"seeds={seeds}"] if seeds else ())]
    suites = [
        load_grid(name, opts=opt or (), sets=sets)
        if grid
        else load_suite(name, kind="train", opts=opt or (), sets=sets)
        for name in named(suite, "train")
    ]

    from cmbench.api import Machine, Workloads, check_suite, run_suite
    from cmbench.cli.finish import finish, together
    from cmbench.cli.progress import Narrator
    from cmbench.training.processes import is_main_process

    several = tuple(filter(None, (devices or "").split(",")))
    machine, outcomes = Machine(device, several, _number(jobs), threads, data_dir, tensorboard), []
    workloads, only = Workloads(machine), list(dict.fromkeys(seed)) if seed else None
    run = partial(run_suite, out=out, seeds=only, force=force, machine=machine, workloads=workloads)
    if len(suites) > 1:
        for each in suites:
            check_suite(each, workloads)  # what is wrong with the last one is said before the first one runs
    with Narrator(quiet=quiet or not is_main_process()) as narrator:
        for number, each in enumerate(suites):
            workloads.keep(suites[number:])
            if grid:
                narrator.say(_size(each, only))
            outcomes.append(run(each, listener=narrator))
    if is_main_process():
        outcome = together(outcomes)
        finish(outcome, json=json, suites=suites, specs=outcome.specs)


def _number(jobs: str | None) -> int | Literal["auto"] | None:
    from cmbench.errors import UserError

    if jobs is None:
        return None
    if jobs == "auto":
        return "auto"
    if not jobs.isdecimal() or not int(jobs):
        raise UserError(f"--jobs {jobs}: accepted: a number >= 1, or auto")
    return int(jobs)


def _size(grid: ResolvedSuite[TrainSuite], seeds: Sequence[int] | None) -> str:
    """`digits_grid: 72 settings × 2 seeds = 144 runs`."""
    from cmbench.report.captions import plural

    trials, count = len(grid.optimizers), len(seeds) if seeds else grid.settings.seeds
    return f"{grid.name}: {plural(trials, 'setting')} × {plural(count, 'seed')} = {plural(trials * count, 'run')}"
