"""The loop of a sweep: takes trials, runs them, and says what became of them, until the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from cmbench.api import Machine, Workloads, check_suite, run_suite
from cmbench.errors import UserError
from cmbench.experiments.listener import Listener
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result
from cmbench.experiments.sweep.axes import Choice
from cmbench.experiments.sweep.space import Sweep
from cmbench.report.captions import plural
from cmbench.report.columns.metrics import judged_by
from cmbench.sweep.findings import Findings, findings
from cmbench.sweep.samplers import SamplerName
from cmbench.sweep.storage import Storage
from cmbench.sweep.trials import Direction, Rules, Taken, Trials
from cmbench.workloads.base import Task, Workload

_PAUSE = 1.0
"""Seconds between two looks at what other processes are at, where there is nothing else to do."""


@dataclass(frozen=True)
class Budget:
    """What every optimizer gets: so many `trials`, all there are where it is None; and no new one after `hours`.

    The hours are those of this process, for all optimizers together, which take turns.
    """

    trials: int | None = None
    hours: float | None = None

    @property
    def whole(self) -> bool:
        """Whether all there are."""
        return self.trials is None and self.hours is None

    @property
    def most(self) -> float:
        """How many trials an optimizer may have at most."""
        return float("inf") if self.trials is None else self.trials


TRIALS = 20
"""What every optimizer gets where the command line says nothing, and there is no grid to try all of."""


def budget_of(sweep: Sweep, sampler: SamplerName, trials: int | None, hours: float | None) -> Budget:
    """The budget that is meant; raises `UserError` for a grid that has no end."""
    if sampler != "grid":
        return Budget(TRIALS if trials is None and hours is None else trials, hours)
    for arm in sweep.arms:
        for name, axis in arm.space.axes.items():
            if axis.listed() is None:
                hint = "; --set space={} takes the suite's grid" if sweep.source.settings.grid else ""
                raise UserError(
                    f"{sweep.source.name}.yaml: space.{name}: {axis.document()}: accepted with --sampler grid: "
                    f"a list of values, {{int: [a, b]}}, or {{uniform: [a, b], step: s}}{hint}"
                )
    return Budget(trials, hours)


def run_sweep(
    sweep: Sweep,
    storage: Storage,
    rules: Rules,
    budget: Budget,
    *,
    out: Path,
    machine: Machine = Machine(),
    listener: Listener | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Findings:
    """Runs the trials of every optimizer's study until each has had its budget, and reads what they have found.

    Any number of processes may do so at once with the same storage: together they run each trial once, and no more
    than the budget. One that dies leaves its trial to the others, or to the next that is started. A trial trains one
    optimizer in one setting for every seed, as `run_suite` does, so that a run that is in `out` already costs nothing.

    `listener` hears how the runs go on, `say` what else there is to tell.

    Raises `UserError` for what the caller can mend; Ctrl-C leaves the trial, with a checkpoint, to whoever comes next.
    """
    return _Worker(sweep, storage, rules, budget, out, machine, listener or Listener(), say).work()


@dataclass
class _Worker:
    sweep: Sweep
    storage: Storage
    rules: Rules
    budget: Budget
    out: Path
    machine: Machine
    listener: Listener
    say: Callable[[str], None]
    exhausted: set[str] = field(default_factory=set)

    @cached_property
    def workloads(self) -> Workloads:
        return Workloads(self.machine)

    @cached_property
    def workload(self) -> Workload:
        return self.workloads.of(self.sweep.suite)

    @cached_property
    def metric(self) -> str:
        return self.workload.metric.name

    @cached_property
    def studies(self) -> list[Trials]:
        suite = self.sweep.suite
        identity = {
            "suite": self.sweep.source.name,
            "settings": suite.settings.document(),
            "data": self.workload.identity(),
            "seeds": [suite.first_seed, suite.settings.seeds],
        }
        direction: Direction = "higher" if self.workload.metric.higher_is_better else "lower"
        rules = replace(self.rules, epochs=suite.settings.epochs)
        return [Trials(self.storage, arm, direction, rules, identity) for arm in self.sweep.arms]

    def work(self) -> Findings:
        self.say(self.plan())
        self.check()
        with self.storage.lock():
            for each in self.studies:
                each.create()
        began, told = time.monotonic(), False
        while self.budget.hours is None or time.monotonic() - began < 3600 * self.budget.hours:
            with self.storage.lock():
                taken = self.take()
                busy = taken is None and any(trial.state == "running" for each in self.studies for trial in each.all())
            if taken:
                self.run(taken)
            elif not busy:
                break
            else:
                if not told:
                    self.say("the trials that are left are running elsewhere; waiting for them")
                told = True
                time.sleep(_PAUSE)
        return findings(self.sweep, self.rules, self.metric, self.studies)

    def plan(self) -> str:
        """What there is to do: `digits_sweep: 6 trials each for 5 optimizers in turn, × 2 seeds`."""
        suite, arms = self.sweep.suite, self.sweep.arms
        seeds = plural(suite.settings.seeds, "seed")
        if not self.budget.whole:
            each = (
                f"{self.budget.hours:g} hours" if self.budget.hours is not None else f"{self.budget.trials} trials each"
            )
            return f"{suite.name}: {each} for {plural(len(arms), 'optimizer')} in turn, × {seeds}"
        sizes = {arm.label: arm.space.size or 0 for arm in arms}
        counts = ", ".join(f"{label} {plural(size, 'trial')}" for label, size in sizes.items())
        text = f"{suite.name}: {counts}, × {seeds}"
        return text if len(set(sizes.values())) == 1 else f"{text}; NOT the same budget (--trials N gives one)"

    def check(self) -> None:
        """Raises `UserError` for what is wrong beyond what the suite's file can show."""
        if self.rules.prune and not isinstance(self.workload, Task):
            raise UserError("--prune: not on a stream of tasks, whose metrics of one epoch are those of one task")
        for arm in self.sweep.arms:
            for name, axis in arm.space.axes.items():
                if name.startswith("workload.") and isinstance(axis, Choice):
                    for value in axis.values:
                        setting = {each: axis.at(0.0) for each, axis in arm.space.axes.items()} | {name: value}
                        check_suite(self.sweep.trial(arm, setting), self.workloads)

    def take(self) -> Taken | None:
        """The next trial, of the optimizer that has had the fewest; those that are queued come first."""
        counts = {}
        for each in self.studies:
            each.requeue()
            trials = each.all()
            if any(trial.state == "waiting" for trial in trials) and (taken := each.take()):
                return taken
            counts[each] = len(trials)
        for each in sorted(counts, key=lambda each: counts[each]):
            if counts[each] >= self.budget.most or each.name in self.exhausted:
                continue
            if each.queue_next():
                return each.take()
            self.exhausted.add(each.name)
            if not self.budget.whole:
                self.say(f"{each.arm.label}: all {counts[each]} settings of its space were tried")
        return None

    def run(self, taken: Taken) -> None:
        """Trains for one seed after the other, as long as the trial is worth it."""
        arm = taken.trials.arm
        suite = self.sweep.trial(arm, taken.setting)
        self.say(f"trial {taken.number} of {arm.label}: {arm.space.text(taken.setting)}")
        run = partial(run_suite, out=self.out, machine=self.machine, workloads=self.workloads)
        results: list[Result] = []
        found = 0
        try:
            with self.storage.alive(taken.trial_id):
                for seed in range(suite.first_seed, suite.first_seed + suite.settings.seeds):
                    watch = _Watch(self.listener, taken, self.metric, self.rules.prune and not results)
                    outcome = run(suite, seeds=[seed], listener=watch)
                    results += outcome.results
                    found += outcome.skipped
                    watch.complete(results[-1])
                    if results[-1].status == "interrupted" and not watch.pruned:
                        raise KeyboardInterrupt
                    if results[-1].status != "completed":
                        break
        except BaseException:
            taken.given_back()
            raise
        _tell(taken, results, found)


def _tell(taken: Taken, results: Sequence[Result], found: int) -> None:
    status = results[-1].status
    if status == "interrupted":
        taken.pruned()
    elif status != "completed":
        taken.lost(status, found)
    else:
        key = judged_by(results[:1])[0].key
        taken.completed([value for result in results if (value := result.metrics[key]) is not None], found)


class _Watch(Listener):
    """Hands everything on to another listener, and tells a trial how its first run goes on from epoch to epoch.

    `pruned` says whether it has stopped the run.
    """

    def __init__(self, inner: Listener, taken: Taken, metric: str, prune: bool) -> None:
        self._taken, self._key, self._prune = taken, f"val_{metric}", prune
        self._higher = taken.trials.direction == "higher"
        self._best: float | None = None
        self._epochs = 0
        self.pruned = False
        for name in dir(Listener):
            if not name.startswith("_") and name not in type(self).__dict__:
                setattr(self, name, getattr(inner, name))

    def epoch_done(self, spec: RunSpec, epoch: int, values: Mapping[str, float | None]) -> bool:
        """Whether the run is to stop, because others were better by then."""
        behind = self._prune and self._report(epoch, values.get(self._key))
        self.pruned = behind and epoch < spec.settings_document()["epochs"]
        return self.pruned

    def complete(self, result: Result) -> None:
        """Tells what nobody has heard: the epochs of a run that was there, and those before it was resumed."""
        if self._prune and result.status == "completed":
            for epoch, value in enumerate(result.curves.get(self._key, ()), 1):
                self._report(epoch, value)

    def _report(self, epoch: int, value: float | None) -> bool:
        if value is None or epoch <= self._epochs:
            return False
        better = max if self._higher else min
        self._best = value if self._best is None else better(self._best, value)
        self._epochs = epoch
        return self._taken.report(epoch, self._best)
