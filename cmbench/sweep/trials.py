"""The trials of one optimizer: which are there, which is next, and what becomes of it."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cmbench.experiments.sweep.space import Arm, Setting
from cmbench.experiments.text import canonical
from cmbench.sweep.samplers import SamplerName, decoded, distributions, encoded, propose
from cmbench.sweep.storage import Storage

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

Direction = Literal["higher", "lower"]
State = Literal["waiting", "running", "completed", "pruned", "diverged", "failed"]
_STATUS, _VALUES, _FOUND = "cmbench.status", "cmbench.values", "cmbench.found"


@dataclass(frozen=True)
class Trial:
    """A trial as a table needs it.

    `value` is the mean of `values`, one for each seed; of a pruned trial the best value that it had come to, and None
    where there is none: of one that diverged or failed. `found` counts its runs that had been done before.
    """

    number: int
    state: State
    setting: Setting
    value: float | None = None
    values: tuple[float, ...] = ()
    found: int = 0

    @property
    def over(self) -> bool:
        """Whether it counts as one of the trials that an optimizer got."""
        return self.state not in ("waiting", "running")


@dataclass(frozen=True)
class Rules:
    """How settings are chosen and trials cut short; studies of other rules are other studies."""

    sampler: SamplerName = "gp"
    seed: int = 0
    prune: bool = False
    epochs: int = 1
    whole: bool = False
    """Whether all of a grid is tried, in its order."""

    def pruner(self) -> Any:
        """Successive halving (Jamieson & Talwalkar 2016), asynchronous (Li et al. 2020), by thirds."""
        import optuna

        if not self.prune:
            return optuna.pruners.NopPruner()
        least = max(1, round(self.epochs / 9))
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=3)


class Trials:
    """The study of an arm in a storage. What takes a trial is called by whoever holds the storage's lock."""

    def __init__(
        self, storage: Storage, arm: Arm, direction: Direction, rules: Rules, identity: Mapping[str, Any]
    ) -> None:
        """`identity` is what the trials' results depend on besides the arm; it names the study, with the rules."""
        self.storage, self.arm, self.direction, self.rules = storage, arm, direction, rules
        whole = [dict(identity), arm.space.document(), arm.spec.document(), arm.spec.source, rules.sampler, rules.seed]
        fingerprint = hashlib.sha256(canonical([*whole, rules.prune, rules.whole, direction]).encode()).hexdigest()
        self.name = f"{identity['suite']}/{arm.label} {fingerprint[:12]}"

    def create(self) -> None:
        """Makes the study, unless it is there."""
        import optuna

        way: Literal["maximize", "minimize"] = "maximize" if self.direction == "higher" else "minimize"
        optuna.create_study(storage=self.storage.rdb, study_name=self.name, direction=way, load_if_exists=True)

    def study(self) -> Study:
        """The study as it is now: Optuna's own object remembers trials of its first look."""
        import optuna

        return optuna.load_study(study_name=self.name, storage=self.storage.rdb, pruner=self.rules.pruner())

    def requeue(self) -> None:
        """Puts trials whose worker died, or was interrupted, back into the queue: they are tried by whoever comes.

        A trial that failed for Optuna is one that came to no end, whatever its runs did. It is queued unless one of the
        same setting is there, so nothing is lost where a process dies in the middle of this.
        """
        import optuna

        study, states = self.study(), optuna.trial.TrialState
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optuna.storages.fail_stale_trials(study)
        trials = study.get_trials(deepcopy=False)
        there = {canonical(trial.params) for trial in trials if trial.state != states.FAIL}
        for trial in trials:
            if trial.state == states.FAIL and (key := canonical(trial.params)) not in there:
                there.add(key)
                self._queue(study, trial.params)

    def _queue(self, study: Study, params: Mapping[str, Any]) -> None:
        import optuna

        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.WAITING, params=dict(params), distributions=distributions(self.arm.space)
            )
        )

    def queue_next(self) -> bool:
        """Puts a setting that is new into the queue; False where there is none left."""
        tried = {canonical(trial.setting) for trial in self.all()}
        rules = self.rules
        setting = propose(self.arm.space, tried, self.study(), rules.sampler, rules.seed, rules.whole)
        if setting is None:
            return False
        self._queue(self.study(), encoded(self.arm.space, setting))
        return True

    def take(self) -> Taken | None:
        """The first trial of the queue, from now on this process's.

        Its first sign of life stands before it counts as running: whenever its worker dies, it is missed.
        """
        import optuna

        study, states = self.study(), optuna.trial.TrialState
        for trial in study.get_trials(deepcopy=False, states=(states.WAITING,)):
            self.storage.rdb.record_heartbeat(trial._trial_id)
            if self.storage.rdb.set_trial_state_values(trial._trial_id, states.RUNNING):
                return Taken(self, study, trial._trial_id, trial.number, self.record(trial).setting)
        return None

    def all(self) -> list[Trial]:
        """Every trial but those that came to no end, by their numbers."""
        import optuna

        failed = optuna.trial.TrialState.FAIL
        found = self.study().get_trials(deepcopy=False)
        return [self.record(trial) for trial in found if trial.state != failed]

    def record(self, trial: FrozenTrial) -> Trial:
        """Optuna's trial as one of ours."""
        setting = {name: decoded(axis, trial.params[name]) for name, axis in self.arm.space.axes.items()}
        unlike: dict[str, State] = {"WAITING": "waiting", "RUNNING": "running", "PRUNED": "pruned"}
        state: State = unlike.get(trial.state.name) or trial.user_attrs[_STATUS]
        value = trial.value if state == "completed" else None
        if state == "pruned" and trial.intermediate_values:
            value = (max if self.direction == "higher" else min)(trial.intermediate_values.values())
        values, found = trial.user_attrs.get(_VALUES, ()), trial.user_attrs.get(_FOUND, 0)
        return Trial(trial.number, state, setting, value, tuple(values), found)


@dataclass(frozen=True)
class Taken:
    """A trial that this process runs."""

    trials: Trials
    study: Study
    trial_id: int
    number: int
    setting: Setting

    def report(self, epoch: int, value: float) -> bool:
        """Says how far it has come in `epoch` epochs; whether it is to be pruned."""
        import optuna

        trial = optuna.trial.Trial(self.study, self.trial_id)
        trial.report(value, epoch)
        return trial.should_prune()

    def completed(self, values: Sequence[float], found: int) -> None:
        """Its runs completed, with these values, of which `found` had been done before."""
        self._tell("COMPLETE", sum(values) / len(values), {_STATUS: "completed", _VALUES: list(values), _FOUND: found})

    def lost(self, state: Literal["diverged", "failed"], found: int) -> None:
        """A run diverged or failed: it counts as the worst there can be."""
        worst = -math.inf if self.trials.direction == "higher" else math.inf
        self._tell("COMPLETE", worst, {_STATUS: state, _FOUND: found})

    def pruned(self) -> None:
        """It was cut short."""
        self._tell("PRUNED", None, {})

    def given_back(self) -> None:
        """It came to no end: the next process to look for a trial takes it."""
        self._tell("FAIL", None, {})

    def _tell(self, state: str, value: float | None, attributes: Mapping[str, Any]) -> None:
        import optuna

        try:
            for name, attribute in attributes.items():
                self.trials.storage.rdb.set_trial_user_attr(self.trial_id, name, attribute)
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # this process was taken for dead, and another one has the trial now
        self.study.tell(self.number, value, optuna.trial.TrialState[state], skip_if_finished=True)
