"""`cmbench train`: trains a suite's optimizers and prints its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmbench.cli.options import DEFAULT_OUT, DataDir, Device, Force, Json, Opt, Out, Quiet, Set


def train(
    suite: Annotated[
        str, typer.Option("--suite", metavar="NAME|FILE", help="What to train; `cmbench suites` lists them.")
    ],
    opt: Opt = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", min=0, help="Only this seed. Repeatable.")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="This many seeds, from 0; with --grid from 1000, 2 if absent.")
    ] = None,
    grid: Annotated[
        bool,
        typer.Option("--grid", help="Run the suite's grid of hyperparameters instead, and name the best settings."),
    ] = False,
    set_: Set = None,
    device: Device = None,
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", min=1, help="This many runs at once, each in a process of its own.")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            help="Threads of each run; they decide a result's last bits on a CPU. [default: all ÷ --jobs]",
        ),
    ] = None,
    data_dir: DataDir = None,
    out: Out = DEFAULT_OUT,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="Write the curves there as well.")
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train every optimizer of a suite for every seed; finished runs are not repeated.

    Under `torchrun` (`torchrun --nproc-per-node 2 -m cmbench train …`) all processes train each run together.
    """
    from cmbench.errors import UserError
    from cmbench.experiments.grid import load_grid, suite_of_grid
    from cmbench.experiments.plan import plan_training
    from cmbench.experiments.suite import load_suite
    from cmbench.workloads.registry import get_workload

    if seed and seeds:
        raise UserError("--seed and --seeds: accepted: one of them")
    sets = [*(set_ or ()), *([f"seeds={seeds}"] if seeds else ())]
    if grid:
        resolved = load_grid(suite, opts=opt or (), sets=sets)
    else:
        resolved = load_suite(suite, kind="train", opts=opt or (), sets=sets)
    file = f"{(suite_of_grid(resolved.name) if grid else None) or resolved.name}.yaml"
    workload = get_workload(resolved.settings.workload, f"{file}: workload", data_dir)
    specs = plan_training(resolved, workload.identity(), dict.fromkeys(seed) if seed else None)

    import torch

    from cmbench.cli.finish import finish
    from cmbench.cli.progress import Narrator, watching
    from cmbench.curvature.gauges import sharpness_gauges
    from cmbench.experiments.execute import Engine, execute, in_turn
    from cmbench.experiments.settings import TrainSettings
    from cmbench.report.phrases import plural
    from cmbench.training.interrupt import Interruptible
    from cmbench.training.learner import check_settings
    from cmbench.training.processes import SharedStore, joined
    from cmbench.training.runner import Runner, at_once

    gauges = sharpness_gauges(resolved.settings.telemetry, resolved.settings.batch_size)
    threads = threads or max(1, torch.get_num_threads() // jobs)
    torch.set_num_threads(threads)
    with (
        Interruptible() as interrupt,
        joined(device) as (processes, target),
        Narrator(quiet=quiet or not processes.is_main_process) as narrator,
    ):
        for spec in specs:
            check_settings(spec, processes.size)
        if jobs > 1 and processes.size > 1:
            raise UserError("--jobs: not under torchrun, whose processes train each run together")
        store = SharedStore(out, processes)
        runner = Runner(workload, target, store, force, gauges, tensorboard, processes, interrupt)
        engine: Engine[TrainSettings] = in_turn(
            lambda members: [runner(spec, watching(narrator, spec)) for spec in members]
        )
        if jobs > 1:
            engine = at_once(runner, jobs, threads, narrator.progress)
        if grid:
            count = len({spec.seed for spec in specs})
            settings = plural(len(resolved.optimizers), "setting")
            narrator.say(f"{resolved.name}: {settings} × {plural(count, 'seed')} = {plural(len(specs), 'run')}")
        outcome = execute(specs, store, engine, force=force, device=str(target), listener=narrator)
    if processes.is_main_process:
        finish(outcome, json=json, suite=resolved, specs=specs)
