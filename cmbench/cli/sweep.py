"""`cmbench sweep`: searches for the best settings of every optimizer of a suite."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cmbench.cli.options import DEFAULT_OUT, DataDir, Device, Json, Opt, Out, Quiet, Set
from cmbench.sweep.storage import HEARTBEAT

if TYPE_CHECKING:
    from cmbench.sweep.findings import Findings

Suite = Annotated[str, typer.Option("--suite", metavar="NAME|FILE", help="The suite whose settings are searched.")]
Trials = Annotated[
    int | None,
    typer.Option(
        "--trials",
        metavar="N",
        min=1,
        max=100_000,
        help="Settings to try for each optimizer, over all processes. [default: 20; all with --sampler grid]",
    ),
]
Hours = Annotated[
    float | None,
    typer.Option("--hours", metavar="H", min=0, help="Begin no trial after H hours; optimizers take turns."),
]
Sampler = Annotated[
    Literal["gp", "tpe", "random", "grid"], typer.Option("--sampler", help="How the settings to try are chosen.")
]
SamplerSeed = Annotated[int, typer.Option("--sampler-seed", metavar="N", min=0, help="Of the sampler.")]
Prune = Annotated[
    bool, typer.Option("--prune/--no-prune", help="Cut trials short that are behind, by successive halving.")
]
Seeds = Annotated[
    int, typer.Option("--seeds", metavar="N", min=1, help="Train each setting for this many seeds, from 1000.")
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Where the studies are: sqlite:///FILE or postgresql://… [default: OUT/SUITE_sweep/sweep.db]",
    ),
]
Heartbeat = Annotated[
    int,
    typer.Option(
        "--heartbeat",
        metavar="SECONDS",
        min=1,
        help="Between signs of life; after three without, a trial is taken over.",
    ),
]
Threads = Annotated[int | None, typer.Option("--threads", metavar="N", min=1, help="Threads of each run.")]
Save = Annotated[
    Path | None, typer.Option("--save", metavar="FILE", help="Write the suite with the best settings there.")
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw the expected best of k trials: .png, .svg or .pdf.")
]


def sweep(
    suite: Suite,
    opt: Opt = None,
    trials: Trials = None,
    hours: Hours = None,
    sampler: Sampler = "gp",
    sampler_seed: SamplerSeed = 0,
    prune: Prune = False,
    seeds: Seeds = 2,
    set_: Set = None,
    storage: Storage = None,
    heartbeat: Heartbeat = HEARTBEAT,
    device: Device = None,
    threads: Threads = None,
    data_dir: DataDir = None,
    out: Out = DEFAULT_OUT,
    save: Save = None,
    plot: Plot = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Search for the best settings of every optimizer of a suite, with the same budget for each.

    The same command goes on where it ended; started several times, also on several machines, it shares the work.
    """
    from cmbench.errors import UserError
    from cmbench.experiments.suite import named
    from cmbench.experiments.sweep.space import load_sweep

    if trials and hours is not None:
        raise UserError("--trials and --hours: accepted: one of them")
    if "RANK" in os.environ:
        raise UserError("cmbench sweep: not under torchrun; started several times, it shares the trials")
    if len(several := named(suite, "train")) > 1:
        raise UserError(f"--suite {suite}: accepted: one of them, {', '.join(several)}")
    plan = load_sweep(suite, opts=opt or (), sets=set_ or (), seeds=seeds)

    from cmbench.sweep.storage import check_installed

    check_installed()

    from cmbench.api import Machine
    from cmbench.cli.progress import Narrator
    from cmbench.report.figures.drawing import checked_path
    from cmbench.sweep.run import budget_of, run_sweep
    from cmbench.sweep.storage import open_storage
    from cmbench.sweep.trials import Rules

    plot = checked_path(plot, plan.suite.name) if plot else None
    budget = budget_of(plan, sampler, trials, hours)
    rules = Rules(sampler, sampler_seed, prune, whole=budget.whole)
    opened = open_storage(storage, out, plan.suite.name, heartbeat)
    with Narrator(quiet=quiet) as narrator:
        machine = Machine(device, threads=threads, data_dir=data_dir)
        found = run_sweep(plan, opened, rules, budget, out=out, machine=machine, listener=narrator, say=narrator.say)
    _finish(found, json, save, plot, narrator.say)


def _finish(found: Findings, json: bool, save: Path | None, plot: Path | None, say: Callable[[str], None]) -> None:
    """Prints what was found, and writes what is to be written; raises `typer.Exit(3)` where a trial was lost."""
    import json as json_module

    import cmbench.report as report
    from cmbench.sweep.best import save_suites
    from cmbench.sweep.tables import sweep_document, sweep_tables

    if json:
        print(json_module.dumps(sweep_document(found), indent=1, ensure_ascii=False))
    else:
        print(report.render(sweep_tables(found)), end="")
    if plot:
        from cmbench.sweep.figure import draw_best_of

        report.save(draw_best_of(found), plot)
        say(f"{plot}: written")
    for file in save_suites(found, save) if save else ():
        say(f"{file}: written")
    if found.lost:
        raise typer.Exit(3)
