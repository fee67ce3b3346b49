"""`cmbench train`: trains a suite's optimizers and prints its table."""

from __future__ import annotations

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
    data_dir: DataDir = None,
    out: Out = DEFAULT_OUT,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train every optimizer of a suite for every seed; finished runs are not repeated."""
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
    file = (suite_of_grid(resolved.name) if grid else resolved.name) + ".yaml"
    workload = get_workload(resolved.settings.workload, f"{file}: workload", data_dir)
    specs = plan_training(resolved, workload.fingerprint(), seed or None)

    from cmbench.cli.finish import finish
    from cmbench.cli.progress import Narrator
    from cmbench.experiments.environment import pick_device
    from cmbench.experiments.execute import execute
    from cmbench.experiments.store import ResultStore
    from cmbench.report.phrases import plural
    from cmbench.training.trainer import train as run_training

    target, store = pick_device(device), ResultStore(out)
    loaded = False

    def run(members: list) -> list:
        nonlocal loaded
        if not loaded:  # not before a run needs it: the data of finished runs is never read
            workload.load(target)
            loaded = True
        (spec,) = members
        files = lambda suffix: store.path(spec, suffix)  # noqa: E731
        return [run_training(spec, workload, target, files, force=force, progress=narrator.progress)]

    with Narrator(quiet=quiet) as narrator:
        if grid:
            count = len({spec.seed for spec in specs})
            settings = plural(len(resolved.optimizers), "setting")
            narrator.say(f"{resolved.name}: {settings} × {plural(count, 'seed')} = {plural(len(specs), 'run')}")
        outcome = execute(specs, store, run, force=force, device=str(target), listener=narrator)
    finish(outcome, json=json, suite=resolved, specs=specs)
