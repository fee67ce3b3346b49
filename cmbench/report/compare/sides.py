"""One side of a comparison: what a results folder or a baseline file holds of every run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

from cmbench.errors import MissingResults
from cmbench.experiments.atomic import write_bytes
from cmbench.experiments.kinds import LANDSCAPES, Kind
from cmbench.experiments.result import Result, Status
from cmbench.experiments.store import ResultStore, read_document
from cmbench.experiments.suite import is_file_name, named
from cmbench.experiments.text import canonical
from cmbench.report.columns.metrics import JUDGED_BY, judging_column
from cmbench.report.table import Direction

SCHEMA: Literal["cmbench.baseline/1"] = "cmbench.baseline/1"

METRICS: Mapping[Kind, Mapping[str, Direction]] = {
    "train": {column.key: column.direction for column in JUDGED_BY if column.direction},
    "sharpness": {"top_eigenvalue": "lower"},
    "toy": {"loss_final": "lower", "sharpness": "lower", "reached_global": "higher"},
    "escape-ratio": {"escaped_reached": "higher"},
    "convergence": {"rate": "lower"},
}
"""What runs of each kind are compared by, and which direction is better."""

_MACHINE = ("device", "cpu", "threads", "torch")
"""What of the environment has to be equal for two times to be comparable."""
_CELL = ("surface", "sharpness", "capacity", "beta")
"""Settings that tell cells of one suite and optimizer from each other."""

Values = tuple[float | bool | None, ...]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class RunRecord(_Record):
    """A run as far as it is compared: the values of its metrics, one for training, one per start or curve point else.

    In a file, truth values are written as digits: `"0110"`.
    """

    id: str
    seed: int
    status: Status
    wall_seconds: float | None = None
    values: dict[str, Values] = {}

    @field_validator("values", mode="before")
    @classmethod
    def _from_digits(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: tuple(c == "1" for c in v) if isinstance(v, str) else v for name, v in values.items()}

    @field_serializer("values")
    def _as_digits(self, values: dict[str, Values]) -> dict[str, Any]:
        return {
            name: "".join("01"[bool(v)] for v in own) if own and all(isinstance(v, bool) for v in own) else list(own)
            for name, own in values.items()
        }


class Group(_Record):
    """The runs of one optimizer in one suite (and one cell of it), with what they have in common."""

    suite: str
    kind: Kind
    label: str
    cell: str = Field(description="the surface, the coefficient, what else tells cells apart; empty in training")
    settings: dict[str, Any]
    hyperparameters: dict[str, Any]
    machine: dict[str, Any]
    own_metrics: dict[str, Direction] = Field(
        default={}, description="those of a workload of the user's, and which direction is better"
    )
    runs: tuple[RunRecord, ...]

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """What its runs are compared by, and which direction is better."""
        return {**METRICS[self.kind], **self.own_metrics}

    @property
    def key(self) -> tuple[str, Kind, str, str]:
        """What is compared with each other."""
        return self.suite, self.kind, self.label, self.cell


class Side(_Record):
    """All groups of a folder or file, which is called `name`."""

    schema_: Literal["cmbench.baseline/1"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(exclude=True, default="")
    groups: tuple[Group, ...]

    def save(self, path: Path) -> None:
        """Writes it as a baseline file, atomically, with a line for each group: short, and its changes can be read."""
        lines = ",\n".join(group.model_dump_json(exclude_defaults=True) for group in self.groups)
        text = f'{{"schema": "{SCHEMA}", "groups": [\n{lines}\n]}}\n'
        write_bytes(path, text.encode())


def read_side(place: Path, suites: Sequence[str] = ()) -> Side:
    """What the results folder or baseline file `place` holds, of all suites or of `suites`, as `--suite` names them.

    Raises `UserError` for what is neither, `MissingResults` where there is nothing.
    """
    meant = {Path(each).stem if is_file_name(each) else each for name in suites for each in named(name)}
    nothing = MissingResults(" of ".join([f"{place}: no results", *([", ".join(suites)] if suites else [])]))
    if place.is_dir():
        found = [result for _, result in ResultStore(place).results() if not meant or result.suite.name in meant]
        if not found:
            raise nothing
        return Side(name=str(place), groups=tuple(_groups(found)))
    side = read_document(place, Side, "baseline file", missing="results folder or baseline file")
    groups = tuple(group for group in side.groups if not meant or group.suite in meant)
    if not groups:
        raise nothing
    return side.model_copy(update={"name": str(place), "groups": groups})


def _groups(results: Iterable[Result]) -> list[Group]:
    """The runs by suite, optimizer, cell, and settings; of several settings or codes those of the newest run."""
    by_key: dict[tuple[Any, ...], dict[str, list[Result]]] = {}
    for result in results:
        place = (result.suite.name, result.kind, result.label, _cell(result))
        settings = {k: v for k, v in result.settings.items() if k != "of"}
        who = [result.optimizer.hyperparameters, result.optimizer.source] if result.optimizer else None
        same = canonical([settings, who])
        by_key.setdefault(place, {}).setdefault(same, []).append(result)
    groups = []
    for (suite, kind, label, cell), variants in by_key.items():
        own = max(variants.values(), key=lambda found: max(result.created for result in found))
        first = own[0]
        machine = {name: first.environment.get(name) for name in _MACHINE}
        alike = all({n: r.environment.get(n) for n in _MACHINE} == machine for r in own)
        groups.append(
            Group(
                suite=suite,
                kind=kind,
                label=label,
                cell=cell,
                settings={k: v for k, v in first.settings.items() if k != "of"},
                hyperparameters=first.optimizer.hyperparameters if first.optimizer else {},
                machine=machine if alike else {},
                own_metrics=_own_metrics(first),
                runs=tuple(_record(result) for result in sorted(own, key=lambda r: r.seed)),
            )
        )
    return groups


def _cell(result: Result) -> str:
    if result.kind not in (*LANDSCAPES, "convergence"):
        return ""
    parts = {name: result.settings[name] for name in _CELL if result.settings.get(name) is not None}
    return " ".join(str(v) if name == "surface" else f"{name}={v:g}" for name, v in parts.items())


def _own_metrics(result: Result) -> dict[str, Direction]:
    columns = [
        column for key in result.metrics if key not in METRICS["train"] and (column := judging_column(key, result))
    ]
    return {column.key: column.direction for column in columns if column.direction}


def _record(result: Result) -> RunRecord:
    values: dict[str, Values] = {}
    for name in (*METRICS[result.kind], *_own_metrics(result)):
        if name in result.lanes:
            values[name] = tuple(result.lanes[name])
        elif name in result.metrics:
            values[name] = (result.metrics[name],)
        elif result.kind == "convergence" and name in result.curves:
            values[name] = tuple(result.curves[name])
    seconds = result.cost.seconds if result.cost else None
    return RunRecord(id=result.id, seed=result.seed, status=result.status, wall_seconds=seconds, values=values)
