"""Running a suite of any kind from Python, as the commands do: `from cmbench import run_suite`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import torch

from cmbench.curvature.gauges import sharpness_gauges
from cmbench.curvature.measure import measure_runs
from cmbench.curvature.targets import runs_of
from cmbench.errors import UserError
from cmbench.experiments.environment import pick_device
from cmbench.experiments.execute import Outcome, execute
from cmbench.experiments.flatness import ways_to_measure
from cmbench.experiments.garbage import forget_finished
from cmbench.experiments.grid import suite_of_grid
from cmbench.experiments.kinds import LANDSCAPES
from cmbench.experiments.lease import Leases
from cmbench.experiments.listener import Listener
from cmbench.experiments.outside import completed
from cmbench.experiments.plan import RunSpec, plan_training
from cmbench.experiments.settings import (
    ConvergenceSuite,
    LandscapeSuite,
    SharpnessSuite,
    Suite,
    TrainSettings,
    TrainSuite,
)
from cmbench.experiments.store import ResultStore
from cmbench.experiments.suite import ResolvedSuite, load_suite
from cmbench.landscapes import cells, convergence
from cmbench.training.engines.cluster import cluster_of
from cmbench.training.engines.elsewhere import elsewhere
from cmbench.training.engines.places import workers_of
from cmbench.training.engines.pool import at_once
from cmbench.training.engines.shared import one_by_one, shared
from cmbench.training.interrupt import Interruptible
from cmbench.training.learner import check_settings
from cmbench.training.processes import SharedStore, joined
from cmbench.training.runner import Runner
from cmbench.training.tracking.feed import Trackers
from cmbench.training.tracking.registry import trackers_of
from cmbench.workloads.base import Workload
from cmbench.workloads.registry import get_workload


@dataclass(frozen=True)
class Machine:
    """Where and how runs are carried out; on one device it decides nothing but their last bits.

    device: `cpu`, `cuda:1`, …; by default a GPU if there is one for training, else the CPU.
    devices: several, of which training runs at once get one each, in turn; by default every GPU that is visible.
    jobs: training runs at once, each in a process of its own; `auto` for as many as there are GPUs, or as processors
        and memory allow. By default one, or one for each of `devices`.
    threads: of each run; by default all of torch's, divided among the jobs; on a cluster one.
    on: `slurm`, `ray` or `ray:ADDRESS`: train on that cluster, whose machines see `out` at the same path.
    slurm: what each job asks for: `("partition=gpu,time=4:00:00,gpus=1,array=16",)`.
    data_dir: where data sets are looked for, instead of `$CMBENCH_DATA` and the customary places.
    track: trackers that show the runs as they go on: `("mlflow", "tensorboard:boards")`.
    """

    device: str | None = None
    devices: tuple[str, ...] = ()
    jobs: int | Literal["auto"] | None = None
    threads: int | None = None
    data_dir: Path | None = None
    track: tuple[str, ...] = ()
    on: str | None = None
    slurm: tuple[str, ...] = ()


class Workloads:
    """The workloads of a command's suites: suites of one workload with the same options share it, and its data."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._made: dict[str, Workload] = {}

    def of(self, suite: ResolvedSuite[TrainSuite]) -> Workload:
        """The suite's workload."""
        key = self._key(suite)
        if key not in self._made:
            self._made[key] = _maker(suite, self._machine)()
        return self._made[key]

    def keep(self, suites: Sequence[ResolvedSuite[TrainSuite]]) -> None:
        """Lets go of those that none of `suites`, which are still to come, is trained on."""
        wanted = set(map(self._key, suites))
        self._made = {key: workload for key, workload in self._made.items() if key in wanted}

    def _key(self, suite: ResolvedSuite[TrainSuite]) -> str:
        return repr([suite.settings.workload, sorted(suite.settings.options.items())])


def run_suite(
    suite: str | ResolvedSuite[Suite],
    *,
    out: Path | str = "results",
    opts: Sequence[str] = (),
    sets: Sequence[str] = (),
    seeds: int | Sequence[int] | None = None,
    force: bool = False,
    machine: Machine = Machine(),
    listener: Listener | None = None,
    workloads: Workloads | None = None,
) -> Outcome:
    """Runs what a suite plans and `out` has no finished result of, stores it, and returns every result of the plan.

    `run_suite("digits", opts=["adam", "adam_cm"], sets=["epochs=3"], seeds=2).results`

    Args:
        suite: name or file of a suite, its place in the paper (`"figure6"`), or one that `load_suite` has returned.
        out: the folder that results are kept in.
        opts: only these optimizers, as `--opt`.
        sets: overrides, as `--set`: `"epochs=3"`, `"optimizers.adam.lr=0.01"`, `"capacity=20"`.
        seeds: of training runs: how many, or which ones, instead of the suite's.
        force: run again what is finished.
        machine: the device, how many runs at once, where the data is.
        listener: hears how it goes on.
        workloads: those of the same machine that other calls have loaded, which need not be loaded again.

    Raises `UserError` for what the caller can mend, before anything runs; a run that fails is a result with that
    status. What somebody else's optimizer, workload or surface prints goes to stderr. Ctrl-C lets the run save a
    checkpoint and raises `KeyboardInterrupt`; the same call goes on from there.
    """
    if isinstance(suite, str):
        suite = load_suite(suite, opts=opts, sets=sets)
    elif opts or sets:
        raise UserError("opts and sets: accepted: with the name or the file of a suite")
    with redirect_stdout(sys.stderr):
        return _run(suite, Path(out), seeds, force, machine, listener, workloads or Workloads(machine))


def _run(
    suite: ResolvedSuite[Suite],
    out: Path,
    seeds: int | Sequence[int] | None,
    force: bool,
    machine: Machine,
    listener: Listener | None,
    workloads: Workloads,
) -> Outcome:
    kind = suite.settings.kind
    if kind == "train":
        training = cast(ResolvedSuite[TrainSuite], suite)
        return _train(training, out, workloads, seeds=seeds, force=force, machine=machine, listener=listener)
    if seeds is not None:
        raise UserError(f"seeds: accepted: with a suite of kind 'train', not '{kind}'")
    if kind == "sharpness":
        measuring = cast(ResolvedSuite[SharpnessSuite], suite)
        of = runs_of(measuring.settings, out)
        ways = ways_to_measure(measuring.settings)
        device = pick_device(machine.device)
        return measure_runs(of, ways, out, device, force=force, data_dir=machine.data_dir, listener=listener)
    store = ResultStore(out)
    if kind == "convergence":
        return convergence.run_suite(
            cast(ResolvedSuite[ConvergenceSuite], suite), store, force=force, listener=listener
        )
    surfaces = cast(ResolvedSuite[LandscapeSuite], suite)
    where = str(pick_device(machine.device or "cpu"))
    return cells.run_suite(surfaces, store, force=force, device=where, listener=listener)


def check_suite(suite: ResolvedSuite[Suite], workloads: Workloads | None = None) -> None:
    """Raises `UserError` for what is wrong with a suite beyond what its file can show: its surfaces, its data."""
    if suite.settings.kind in LANDSCAPES:
        cells.prepare(cast(ResolvedSuite[LandscapeSuite], suite))
    elif suite.settings.kind == "train":
        _with_workload(cast(ResolvedSuite[TrainSuite], suite), workloads or Workloads(Machine()))[1].identity()


def _with_workload(
    suite: ResolvedSuite[TrainSuite], workloads: Workloads
) -> tuple[ResolvedSuite[TrainSuite], Workload]:
    """The suite with its optimizers imported and its workload's options that are not defaults, and the workload."""
    suite = completed(suite)
    workload = workloads.of(suite)
    chosen = {name: workload.chosen[name] for name in suite.settings.options}
    options = {name: value for name, value in chosen.items() if value != workload.options[name].default}
    return replace(suite, settings=suite.settings.model_copy(update={"options": options})), workload


@dataclass(frozen=True)
class Planned:
    """A training suite with everything filled in, what it is trained on, and its runs."""

    suite: ResolvedSuite[TrainSuite]
    workload: Workload
    specs: list[RunSpec[TrainSettings]]


def plan_suite(
    suite: ResolvedSuite[TrainSuite], workloads: Workloads, seeds: int | Sequence[int] | None = None
) -> Planned:
    """The runs of a training suite; `seeds` replaces its own. Raises `UserError` for what is wrong with it."""
    suite, workload = _with_workload(suite, workloads)
    wanted = range(suite.first_seed, suite.first_seed + seeds) if isinstance(seeds, int) else seeds
    return Planned(suite, workload, plan_training(suite, workload.identity(), wanted))


def _maker(suite: ResolvedSuite[TrainSuite], machine: Machine) -> Callable[[], Workload]:
    """What makes the suite's workload, in this process and in others."""
    where = f"{suite_of_grid(suite.name) or suite.name}.yaml: workload"
    return partial(get_workload, suite.settings.workload, where, machine.data_dir, suite.settings.options)


def _train(
    suite: ResolvedSuite[TrainSuite],
    out: Path,
    workloads: Workloads,
    *,
    seeds: int | Sequence[int] | None,
    force: bool,
    machine: Machine,
    listener: Listener | None,
) -> Outcome:
    """Trains every optimizer for every seed; under `torchrun` all processes train each run together."""
    trackers = Trackers(trackers_of(machine.track))
    planned = plan_suite(suite, workloads, seeds)
    suite, workload, specs = planned.suite, planned.workload, planned.specs
    before = torch.get_num_threads()
    asked = machine.device, machine.devices, machine.jobs, machine.threads
    cluster = cluster_of(machine.on, machine.slurm, *asked)
    workers = workers_of("cpu", (), None, machine.threads) if cluster else workers_of(*asked)
    torch.set_num_threads(workers.threads)
    try:
        with Interruptible() as interrupt, joined(workers.places[0].device) as (processes, device):
            for spec in specs:
                check_settings(spec, processes.size)
            several = len(workers.places) > 1
            if several and processes.size > 1:
                raise UserError("--jobs: not under torchrun, whose processes train each run together")
            store = SharedStore(out, processes)
            runner = Runner(
                workload,
                _maker(suite, machine),
                device,
                store,
                Leases(out),
                force=force,
                resume=not force,
                gauges=sharpness_gauges,
                trackers=trackers,
                processes=processes,
                interrupt=interrupt,
            )
            runner.leases.watch()
            here = at_once(runner, workers) if several else one_by_one(runner)
            engine = shared(elsewhere(runner, cluster) if cluster else here, runner)
            outcome = execute(specs, store, engine, force=force, device=str(device), listener=listener)
            if processes.is_main_process:
                forget_finished(outcome, store, runner.leases)
            return outcome
    finally:
        torch.set_num_threads(before)
