"""`cmbench plan`: where every run stands, and what the rest will take."""

from __future__ import annotations

import json as json_module
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmbench.cli.options import DEFAULT_OUT, DataDir, Device, Json, Opt, Out, Set
from cmbench.cli.training import Devices, Grid, Jobs, Seed, Seeds, Threads, Workload, machine_of, suites_of
from cmbench.cli.units import bytes_text, time_text
from cmbench.experiments.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cmbench.api import Machine, Planned
    from cmbench.experiments.estimate import Estimate
    from cmbench.experiments.plan import RunSpec
    from cmbench.experiments.result import Result
    from cmbench.experiments.settings import TrainSettings
    from cmbench.experiments.state import RunState

Watched = tuple[Sequence["RunState"], "Estimate | None"]
REFRESH_SECONDS = 2.0


def plan(
    suite: Annotated[
        str | None,
        typer.Option("--suite", metavar="NAME|FILE", help="Of these runs. [default: all that the folder knows of]"),
    ] = None,
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
    probe: Annotated[
        bool, typer.Option("--probe", help="Try 20 steps of each optimizer that has no finished run here.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until everything is done, or Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Say where every run of a plan stands, and what the rest will take.

    Takes what `train` takes. Without --suite it tells of every run that has left something in the folder.
    """
    from cmbench.errors import UserError

    began = time.perf_counter()
    if suite is None:
        if workload or opt or seed or seeds or grid or set_ or probe:
            raise UserError("--workload, --opt, --seed, --seeds, --grid, --set, --probe: accepted: with --suite")
        look = _of_folder(out, data_dir)
    else:
        suites = suites_of(suite, workload=workload, opt=opt, seed=seed, seeds=seeds, grid=grid, sets=set_)
        machine = machine_of(device=device, devices=devices, jobs=jobs, threads=threads, data_dir=data_dir)
        from cmbench.api import Workloads, plan_suite

        workloads, only = Workloads(machine), list(dict.fromkeys(seed)) if seed else None
        planned = [plan_suite(each, workloads, only) for each in suites]
        specs = [spec for each in planned for spec in each.specs]
        look = _of_plan(specs, out, planned if probe else (), machine, began)
    if json:
        print(json_module.dumps(_document(*look()), indent=1, ensure_ascii=False))
    elif watch:
        _watch(look)
    else:
        from rich.console import Console

        Console(highlight=False, soft_wrap=True).print(_shown(*look()))


def _of_folder(out: Path, data_dir: Path | None) -> Callable[[], Watched]:
    from functools import cache

    from cmbench.errors import UserError
    from cmbench.experiments.state import states_of_folder
    from cmbench.experiments.store import ResultStore
    from cmbench.experiments.text import canonical
    from cmbench.training.checkpoint import step_of
    from cmbench.workloads.registry import get_workload

    if not out.is_dir():
        raise UserError(f"{out}: no such folder (--out)")

    @cache
    def identity(name: str, options: str) -> str | None:
        try:
            return get_workload(name, "plan", data_dir, json_module.loads(options)).identity()
        except UserError:  # its data or its file is not here
            return None

    def identity_of(result: Result) -> str | None:
        return identity(result.settings["workload"], canonical(result.settings.get("options", {})))

    def look() -> Watched:
        unreadable: list[str] = []
        states = states_of_folder(ResultStore(out), identity_of, step_of, unreadable)
        for line in unreadable:
            if line not in told:
                told.add(line)
                print(f"cmbench: {printable(line)}", file=sys.stderr)
        return states, None

    told: set[str] = set()
    return look


def _of_plan(
    specs: Sequence[RunSpec[TrainSettings]], out: Path, to_probe: Sequence[Planned], machine: Machine, began: float
) -> Callable[[], Watched]:
    from cmbench.experiments.environment import pick_device
    from cmbench.experiments.estimate import estimate, samples_of
    from cmbench.experiments.state import states_of_plan
    from cmbench.experiments.store import ResultStore
    from cmbench.training.checkpoint import step_of
    from cmbench.training.engines.places import workers_of
    from cmbench.training.probe import probed_samples

    workers = workers_of(machine.device, machine.devices, machine.jobs, machine.threads)
    device = workers.places[0].device
    target = pick_device(device)
    # To load what trains and to look at the data takes a training as long as it has taken here.
    start = time.perf_counter() - began
    known = samples_of(ResultStore(out).results(unreadable=[]), device) if to_probe else []
    probed = [sample for each in to_probe for sample in probed_samples(each.specs, each.workload, known, target)]

    def look() -> Watched:
        store = ResultStore(out)
        states = states_of_plan(specs, store, step_of)
        samples = [*samples_of(store.results(unreadable=[]), device), *probed]
        return states, estimate(specs, states, samples, len(workers.places), start)

    return look


def _watch(look: Callable[[], Watched]) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    states, left = look()
    if not console.is_terminal:
        while True:
            console.print(_summary(states, left))
            if all(state.is_done for state in states):
                return
            before = states
            while [(s.status, s.step) for s in states] == [(s.status, s.step) for s in before]:
                time.sleep(REFRESH_SECONDS)
                states, left = look()
    with Live(_shown(states, left), console=console, auto_refresh=False) as live:
        while not all(state.is_done for state in states):
            time.sleep(REFRESH_SECONDS)
            states, left = look()
            live.update(_shown(states, left), refresh=True)


def _shown(states: Sequence[RunState], left: Estimate | None) -> RenderableType:
    """A table with a row per optimizer, what is worth a line of its own, and what the rest will take."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    from cmbench.experiments.grid import split_label
    from cmbench.experiments.state import counts

    columns = list(counts(states))
    parts: list[RenderableType] = []
    for suite in dict.fromkeys(state.suite for state in states):
        own = [state for state in states if state.suite == suite]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(f"[bold]{escape(suite)}[/]")
        for column in [*columns, *(["left"] if left else [])]:
            table.add_column(column, justify="right")
        rows = dict.fromkeys(split_label(state.label)[0] for state in own)
        for row in rows:
            of_row = [state for state in own if split_label(state.label)[0] == row]
            number = counts(of_row)
            cells = [str(number.get(column, "")) for column in columns]
            table.add_row(f"  {escape(row)}", *cells, *([_left(of_row, left)] if left else []))
        parts += [table, ""]
    parts += [escape(line) for line in _lines(states, left)]
    parts.append(_summary(states, left))
    return Group(*parts)


def _lines(states: Sequence[RunState], left: Estimate | None) -> list[str]:
    """Every run that goes on, waits for somebody to go on with it, has failed, or must be run anew."""
    lines = []
    for state in states:
        if state.status not in ("running", "interrupted", "failed", "stale"):
            continue
        seconds = left.of_run.get(state.run) if left else None
        said = [
            f"at step {state.step}" + (f" of {state.total_steps}" if state.total_steps else "") if state.step else "",
            f"on {state.where}" if state.where else "",
            f"{time_text(seconds)} left" if state.status == "running" and seconds else "",
            state.detail,
        ]
        lines.append(f"{state.status}: {state.suite} {state.label} seed {state.seed} " + ", ".join(filter(None, said)))
    return [*lines, ""] if lines else []


def _left(states: Sequence[RunState], left: Estimate) -> str:
    todo = [state for state in states if not state.is_done]
    if not todo:
        return ""
    known = [left.of_run[state.run] for state in todo if state.run in left.of_run]
    return time_text(sum(known)) if len(known) == len(todo) else "?"


def _summary(states: Sequence[RunState], left: Estimate | None) -> str:
    from cmbench.experiments.state import counts
    from cmbench.report.captions import plural

    text = f"{plural(len(states), 'run')}: " + ", ".join(f"{n} {status}" for status, n in counts(states).items())
    if not states:
        return "no runs"
    if left is None or all(state.is_done for state in states):
        return text
    if not left.of_run:
        return f"{text}\nhow long the rest takes is not known: no finished run on this device (--probe tries 20 steps)"
    how = "roughly " if left.rough else "about "
    at_least = f", and {plural(left.unknown, 'run')} that nothing is known of" if left.unknown else ""
    room = [f"{bytes_text(left.memory)} of memory for each run"] if left.memory else []
    room += [f"{bytes_text(left.disk)} on disk"] if left.disk else []
    return f"{text}\n{how}{time_text(left.seconds)} left{at_least}; " + ", ".join(room)


def _document(states: Sequence[RunState], left: Estimate | None) -> dict[str, Any]:
    runs = [
        {name: getattr(state, name) for name in ("suite", "label", "seed", "run", "status", "step", "total_steps")}
        | ({"where": state.where} if state.where else {})
        | ({"detail": state.detail} if state.detail else {})
        | ({"seconds_left": left.of_run[state.run]} if left and state.run in left.of_run else {})
        for state in states
    ]
    document: dict[str, Any] = {"runs": runs}
    if left:
        names = ("seconds", "unknown", "rough", "memory", "disk")
        document["left"] = {name: getattr(left, name) for name in names}
    return document
