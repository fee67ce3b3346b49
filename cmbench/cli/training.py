"""What the commands about trainings share: which suites are meant, where they run, and the options that say so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from cmbench.api import Machine
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
Seed = Annotated[
    list[int] | None, typer.Option("--seed", metavar="N", min=0, max=2**63 - 1, help="Only this seed. Repeatable.")
]
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
On = Annotated[
    str | None,
    typer.Option(
        "--on", metavar="slurm|ray[:ADDRESS]", help="Train on a cluster whose machines see --out at the same path."
    ),
]
Slurm = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE,…",
        help="What each job asks for: partition, time, gpus, cpus, mem, array (so many at once), … Repeatable.",
    ),
]


def suites_of(
    suite: str,
    *,
    workload: str | None,
    opt: Sequence[str] | None,
    seed: Sequence[int] | None,
    seeds: int | None,
    grid: bool,
    sets: Sequence[str] | None,
) -> list[ResolvedSuite[TrainSuite]]:
    """The training suites that are meant, or their grids, with what the command line says of them."""
    from cmbench.errors import UserError
    from cmbench.experiments.grid import load_grid
    from cmbench.experiments.suite import load_suite, named

    if seed and seeds:
        raise UserError("--seed and --seeds: accepted: one of them")
    every = [*([f"workload={workload}"] if workload else ()), *(sets or ()), *([f"seeds={seeds}"] if seeds else ())]
    return [
        load_grid(name, opts=opt or (), sets=every)
        if grid
        else load_suite(name, kind="train", opts=opt or (), sets=every)
        for name in named(suite, "train")
    ]


def machine_of(
    *,
    device: str | None,
    devices: str | None,
    jobs: str | None,
    threads: int | None,
    data_dir: Path | None,
    track: Sequence[str] | None = None,
    on: str | None = None,
    slurm: Sequence[str] | None = None,
) -> Machine:
    """Where the runs are trained."""
    from cmbench.api import Machine

    several = tuple(filter(None, (devices or "").split(",")))
    trackers, asked = tuple(track or ()), tuple(slurm or ())
    return Machine(device, several, _number(jobs), threads, data_dir, trackers, on, asked)


def _number(jobs: str | None) -> int | Literal["auto"] | None:
    from cmbench.errors import UserError

    if jobs is None:
        return None
    if jobs == "auto":
        return "auto"
    if not jobs.isdecimal() or not int(jobs):
        raise UserError(f"--jobs {jobs}: accepted: a number >= 1, or auto")
    return int(jobs)
