"""Where every run of a plan, or of a folder, stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cmbench.errors import Unreadable
from cmbench.experiments.files import RESUME, folder_name
from cmbench.experiments.lease import Held, Leases
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result
from cmbench.experiments.settings import TrainSettings
from cmbench.experiments.store import ResultStore

Status = Literal["finished", "diverged", "running", "interrupted", "failed", "stale", "missing"]
STATUSES: tuple[Status, ...] = ("finished", "diverged", "running", "interrupted", "failed", "stale", "missing")
StepOf = Callable[[Path], int | None]
"""The step that a checkpoint was made at; None where it is broken."""
IdentityOf = Callable[[Result], str | None]
"""The identity that the workload of a result has by now; None where that cannot be told."""


@dataclass(frozen=True)
class RunState:
    """Where one run stands.

    `step` is how far it is, of `total_steps` where that is known. `where` says on which machine and device it runs;
    `detail` why it failed, or what has changed since it was run.
    """

    suite: str
    label: str
    seed: int
    run: str
    status: Status
    step: int | None = None
    total_steps: int | None = None
    where: str = ""
    detail: str = ""

    @property
    def is_done(self) -> bool:
        """Whether nobody will run it again."""
        return self.status in ("finished", "diverged")


def states_of_plan(specs: Sequence[RunSpec[TrainSettings]], store: ResultStore, step_of: StepOf) -> list[RunState]:
    """Where each of the specs stands.

    A run that is not there is stale where the same one was run on other data, or with other code.
    """
    leases, beside = Leases(store.root).all(), dict[Path, list[Result]]()

    def state(spec: RunSpec[TrainSettings]) -> RunState:
        missing = RunState(spec.suite.name, spec.label, spec.seed, spec.id, "missing")
        held = leases.get(spec.id)
        try:
            found = store.find(spec)
        except Unreadable as error:
            return replace(missing, status="stale", detail=str(error))
        if found is None or not spec.is_finished_by(found):
            equal = store.find_equal(spec)
            found = equal.result if equal else found
        if found and spec.is_finished_by(found):
            return _finished(missing, found)
        unfinished = _unfinished(missing, found, held, store.path(spec, RESUME), step_of)
        if unfinished.status != "missing":
            return unfinished
        folder = store.path(spec).parent
        if folder not in beside:
            beside[folder] = [result for _, result in store.results_in(folder, unreadable=[])]
        changes = [change for result in beside[folder] if (change := _changed(spec, result))]
        return replace(missing, status="stale", detail=changes[0]) if changes else missing

    return [state(spec) for spec in specs]


def states_of_folder(
    store: ResultStore, identity_of: IdentityOf, step_of: StepOf, unreadable: list[str]
) -> list[RunState]:
    """Where every training run stands that has left something in the folder; adds what is wrong with files there."""
    leases, states = Leases(store.root).all(), list[RunState]()
    for path, result in store.results(unreadable=unreadable):
        if result.kind != "train":
            continue
        one = RunState(result.suite.name, result.label, result.seed, result.id, "missing")
        now = identity_of(result) if result.finished else None
        change = _other_data(str(result.settings.get("data")), now) if now else ""
        held = leases.pop(result.id, None)
        if result.finished and not (held and held.is_live):
            states.append(replace(one, status="stale", detail=change) if change else _finished(one, result))
        else:
            states.append(_unfinished(one, result, held, path.with_suffix(RESUME), step_of))
    for held in leases.values():  # what has no result yet
        record = held.record
        one = RunState(record.suite, record.label, record.seed, record.run, "missing")
        path = store.root / folder_name(record.suite) / folder_name(record.label) / f"{record.run}{RESUME}"
        states.append(_unfinished(one, None, held, path, step_of))
    return sorted(states, key=lambda state: (state.suite, state.label, state.seed))


def _finished(one: RunState, result: Result) -> RunState:
    steps = result.cost.steps if result.cost else None
    status: Status = "diverged" if result.status == "diverged" else "finished"
    return replace(one, status=status, step=steps, total_steps=steps, detail=result.error or "")


def _unfinished(one: RunState, found: Result | None, held: Held | None, checkpoint: Path, step_of: StepOf) -> RunState:
    """What goes on, has failed, or can go on from a checkpoint; `one` as it is where it is none of them."""
    record = held.record if held else None
    if held and held.is_live:
        where = f"{held.record.owner.host}, {held.record.device}"
        return replace(one, status="running", step=held.record.step, total_steps=held.record.total_steps, where=where)
    step = step_of(checkpoint) if checkpoint.exists() else None
    one = replace(one, step=step, total_steps=record.total_steps if record else None)
    if found and found.status == "failed":
        return replace(one, status="failed", detail=found.error or "")
    return replace(one, status="interrupted") if step is not None else one


def _changed(spec: RunSpec[TrainSettings], result: Result) -> str:
    """What has changed since the same run as that of `spec` gave the result; nothing, where it is another run."""
    optimizer, before = spec.chosen_optimizer, result.optimizer
    if before is None or (result.kind, result.seed) != (spec.kind, spec.seed) or not result.finished:
        return ""
    if (before.name, before.hyperparameters) != (optimizer.name, optimizer.hyperparameters):
        return ""
    if _without_data(result.settings) != _without_data(spec.settings_document()):
        return ""
    if change := _other_data(str(result.settings.get("data")), str(spec.data)):
        return change
    return "the code of its optimizer has changed" if before.source != optimizer.source else ""


def _without_data(settings: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in settings.items() if key != "data"}


def _other_data(before: str, now: str) -> str:
    if before == now:
        return ""
    # [SOURCE.]FINGERPRINT.vVERSION
    data, data_now = (identity.rpartition(".")[0].rpartition(".")[2] for identity in (before, now))
    return "its data has changed" if data != data_now else "the code of its workload has changed"


def counts(states: Iterable[RunState]) -> dict[Status, int]:
    """How many runs have each status that there is, in the order of `STATUSES`."""
    found = [state.status for state in states]
    return {status: found.count(status) for status in STATUSES if status in found}
