"""The result of one run, as it stands in its JSON file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, field_validator
from pydantic_core.core_schema import chain_schema
from typing_extensions import TypeAliasType

from cmbench.experiments.kinds import Kind

SCHEMA: Literal["cmbench.result/1"] = "cmbench.result/1"
ONE_BY_ONE = "one by one"
"""`environment.starts` of a cell whose optimizer cannot run its starts as lanes."""
Status = Literal["completed", "diverged", "failed", "interrupted"]


Item = TypeAliasType(
    "Item", "Annotated[int, Field(ge=-(2**63), lt=2**63)] | float | list[Item] | dict[str, Item] | None"
)
"""What a curve has at a step or an epoch: a number, or several."""
_NUMBERS = GetPydanticSchema(
    lambda curves, handler: chain_schema([handler(dict[str, list[Item] | list[str]]), handler(curves)])
)
"""Curves of numbers, or of names of tasks; for whoever reads or writes them, any list."""
RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""Files are called by it: it must not lead anywhere else."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SuiteReference(_Record):
    """The suite a run belongs to: its name, and the SHA-256 of its file."""

    name: str
    sha256: str


class OptimizerReference(_Record):
    """The optimizer of a run: its name, its label in the suite, every hyperparameter.

    `source` stands for the code of one that is not registered: a distribution with its version, or a file's SHA-256.
    """

    name: str
    label: str
    hyperparameters: dict[str, Any]
    source: str | None = None

    @field_validator("hyperparameters")
    @classmethod
    def _pairs_are_tuples(cls, values: dict[str, Any]) -> dict[str, Any]:
        # JSON has only lists: what is read must equal what was written.
        return {key: _with_tuples(value) for key, value in values.items()}


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, (list, tuple)) else value


class JudgedBy(_Record):
    """The metric of the workload that a training run is judged by, as in `val_METRIC_best`, and which way is better."""

    metric: str
    better: Literal["higher", "lower"]


class Cost(_Record):
    """What a run took. Evaluation time is kept apart from the time of the optimization itself."""

    wall_seconds: float
    evaluation_seconds: float = 0.0
    telemetry_seconds: float = 0.0
    steps: int
    gradient_evaluations: int
    peak_memory_bytes: int | None = None
    optimizer_state_bytes: int | None = None

    @property
    def seconds(self) -> float:
        """Without what was only watched: a run takes as long with telemetry as without."""
        return self.wall_seconds - self.telemetry_seconds


class Result(_Record):
    """One run: what was asked (`kind` to `settings`), what came out, what it cost, where it ran.

    A number that is not finite is stored as null.
    """

    schema_: Literal["cmbench.result/1"] = Field(default=SCHEMA, alias="schema")
    kind: Kind
    id: RunId
    suite: SuiteReference
    optimizer: OptimizerReference | None
    seed: int
    settings: dict[str, Any]
    status: Status
    error: str | None = None
    diverged_step: int | None = None
    judged_by: JudgedBy | None = None
    metrics: dict[str, float | None] = {}
    lanes: dict[str, list[float | bool | None]] = {}
    curves: Annotated[dict[str, list[Any]], _NUMBERS] = {}
    cost: Cost | None = None
    environment: dict[str, Any] = {}
    taken_from: str | None = None
    """`SUITE/LABEL` of the equal run that this was taken over from, instead of being run again."""
    created: str

    @property
    def label(self) -> str:
        """The optimizer's label, or the kind of a run that has none."""
        return self.optimizer.label if self.optimizer else self.kind

    def taken_over(self, suite: SuiteReference, optimizer: OptimizerReference | None) -> Result:
        """This result as that of an equal run of another suite, or of another label there."""
        origin = self.taken_from or f"{self.suite.name}/{self.label}"
        return self.model_copy(update={"suite": suite, "optimizer": optimizer, "taken_from": origin})

    @property
    def finished(self) -> bool:
        """Whether running it again would give the same: a failed or interrupted run is worth another try."""
        return self.status in ("completed", "diverged")
