"""Which settings the runs of one table share, and what sets them apart from the suite's and from other tables'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmbench.experiments.kinds import Kind
from cmbench.experiments.measurements import SharpnessSettings
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.settings import SUITE_TYPES
from cmbench.experiments.text import canonical
from cmbench.report.table import Difference
from cmbench.workloads.registry import default_option


@dataclass(frozen=True)
class MayDiffer:
    """What the runs of one table may differ in besides their optimizers."""

    seeds: bool = True
    settings: tuple[str, ...] = ()


MAY_DIFFER: Mapping[Kind, MayDiffer] = {
    "train": MayDiffer(),
    "sharpness": MayDiffer(settings=("of", "data")),
    "toy": MayDiffer(seeds=False),
    "escape-ratio": MayDiffer(seeds=False, settings=("sharpness",)),
    "convergence": MayDiffer(settings=("capacity", "beta")),
}
"""In the order in which the tables of a suite stand."""

_CELL = ("surface", "domain", "sharpness")
"""Settings that name a cell of a landscape suite: tables differ in them by design."""


def shared_settings(kind: Kind, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `settings` in which the runs of one table agree."""
    return {name: value for name, value in settings.items() if name not in MAY_DIFFER[kind].settings}


def table_key(kind: Kind, settings: Mapping[str, Any], seed: int) -> str:
    """A text that is equal for runs that belong to one table."""
    return canonical([shared_settings(kind, settings), None if MAY_DIFFER[kind].seeds else seed])


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` by dotted key: `{"schedule": {"gamma": 0.1}}` as `{"schedule.gamma": 0.1}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            found[key] = value
    return found


def flat_settings(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The settings by dotted key, the seed among them; a workload's options by the keys that `--set` takes."""
    named = {key.replace("options.", "workload.", 1): value for key, value in flat(settings).items()}
    return named | {"seed": seed}


def differences(
    kind: Kind, own: Mapping[str, Any], others: Iterable[Mapping[str, Any]], file_plan: Sequence[RunSpec]
) -> tuple[Difference, ...]:
    """What sets a table with the flat settings `own` apart: from what the suite's file plans, else from `others`."""
    others = list(others)
    plans = [flat_settings(spec.settings_document(), spec.seed) for spec in file_plan]
    same_cell = [plan for plan in plans if all(_equal(plan.get(key), own.get(key)) for key in ("data", *_CELL))]
    planned = next(iter(same_cell or plans), None)
    found = []
    for key in dict.fromkeys([*own, *(key for key in planned or () if key != "data")]):
        value = own.get(key, _default(kind, key, own))
        if key in _CELL or key in MAY_DIFFER[kind].settings or (key == "seed" and MAY_DIFFER[kind].seeds):
            continue
        if planned is not None and key != "data":
            suites = planned.get(key, _default(kind, key, planned))
            if not _equal(suites, value):
                found.append(Difference(key, value, from_suite=True, suite=suites))
        elif any(not _equal(other.get(key), value) for other in others):
            found.append(Difference(key, value))
    return tuple(found)


def _equal(one: Any, other: Any) -> bool:
    return canonical(one) == canonical(other)


def _default(kind: Kind, key: str, settings: Mapping[str, Any]) -> Any:
    """What a setting is where a result, or a suite, with these flat `settings` does not name it."""
    if key.startswith("workload."):
        return default_option(settings["workload"], key.removeprefix("workload."))
    fields = (SharpnessSettings if kind == "sharpness" else SUITE_TYPES[kind]).model_fields
    return fields[key].default if key in fields else None
