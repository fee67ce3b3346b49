"""Which results belong to one table and to one row of it, beside what the suite plans and the paper prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cmbench.experiments.grid import shipped
from cmbench.experiments.plan import RunSpec, plan_convergence, plan_landscapes, plan_training
from cmbench.experiments.result import OptimizerReference, Result
from cmbench.experiments.settings import SUITE_TYPES
from cmbench.experiments.suite import ResolvedSuite
from cmbench.optim.registry import REGISTRY
from cmbench.report.paper import PaperValue, paper_value
from cmbench.report.phrases import optimizer_text, value_text
from cmbench.report.records import Column, Row, Table


@dataclass(frozen=True)
class Run:
    """A run as it was planned, found or both."""

    optimizer: OptimizerReference | None
    seed: int
    settings: Mapping[str, Any]
    planned: bool
    result: Result | None

    @property
    def status(self) -> str:
        return self.result.status if self.result else "missing"

    @property
    def completed(self) -> bool:
        return self.status == "completed"

    @property
    def row_key(self) -> str:
        return key_of([self.optimizer.label, self.optimizer.name, self.optimizer.hyperparameters])


@dataclass(frozen=True)
class Kind:
    """How runs of a kind are grouped: `within` are the settings that vary inside a table."""

    within: tuple[str, ...] = ()
    seed_is_a_setting: bool = False


KINDS = {
    "train": Kind(),
    "sharpness": Kind(within=("of", "data")),
    "toy": Kind(seed_is_a_setting=True),
    "escape-ratio": Kind(within=("sharpness",), seed_is_a_setting=True),
    "convergence": Kind(within=("capacity", "beta")),
}


def plan_of(suite: ResolvedSuite, results: Sequence[Result]) -> list[RunSpec]:
    """What `suite` plans for the data, and for the domains of the surfaces where it names none, found in `results`."""
    settings = suite.settings
    if settings.kind == "train":
        prints = dict.fromkeys(result.settings.get("data") or "" for result in results) or {"": None}
        return [spec for data in prints for spec in plan_training(suite, data=data)]
    if settings.kind in ("toy", "escape-ratio"):
        found = {result.settings["surface"]: result.settings for result in reversed(results)}
        domains = {
            surface: domain or found.get(surface, {}).get("domain") for surface, domain in settings.domains.items()
        }
        sources = {surface: found[surface]["data"] for surface in found if found[surface].get("data")}
        filled = settings.model_copy(update={"surface": None, "surfaces": domains})
        return plan_landscapes(replace(suite, settings=filled), sources)
    return plan_convergence(suite) if settings.kind == "convergence" else []


def key_of(value: Any) -> str:
    """`value` as a text that is equal for equal values, whatever the order of keys."""
    return json.dumps(value, sort_keys=True)


class Grouping:
    """The runs of one suite and one kind, in groups that each fill a table."""

    def __init__(
        self,
        name: str,
        kind: str,
        results: Sequence[Result],
        suite: ResolvedSuite | None,
        expected: Sequence[RunSpec] | None,
        measured: Sequence[Result],
    ) -> None:
        self.name, self.kind, self.results, self.measured = name, kind, results, measured
        self.rules = KINDS[kind]
        self.suite = suite if suite and suite.settings.kind == kind else None
        self.reference = self._reference()
        self.reference_plan = plan_of(self.reference, results) if self.reference else []
        self.specs = self._planned() if expected is None else [spec for spec in expected if spec.kind == kind]
        self.has_plan = expected is not None or bool(self.specs)

    def _reference(self) -> ResolvedSuite | None:
        """The suite as it stands in its file: what a reader takes the suite's name to mean."""
        own = shipped(self.name) if self.suite else None
        return own if own and own.sha256 == self.suite.sha256 else self.suite

    def _planned(self) -> list[RunSpec]:
        """What the suite plans, where at least one result has its settings."""
        if not self.suite:
            return []
        plan = plan_of(self.suite, self.results)
        found = {self._group_key(result.settings, result.seed) for result in self.results}
        matched = [spec for spec in plan if self._group_key(spec.settings_document(), spec.seed) in found]
        # The surfaces of one suite belong together: where one was run, the others are missing.
        return plan if matched and self.rules.seed_is_a_setting else matched

    def _group_key(self, settings: Mapping[str, Any], seed: int) -> str:
        outer = {name: value for name, value in settings.items() if name not in self.rules.within}
        return key_of([outer, seed if self.rules.seed_is_a_setting else None])

    def groups(self) -> list[tuple[list[Run], dict[str, Any]]]:
        """The runs of each table, and what sets its settings apart."""
        found = {(result.id, label_of(result.optimizer)): result for result in self.results}
        runs = []
        for spec in self.specs:
            result = found.pop((spec.id, label_of(spec.optimizer)), None)
            runs.append(Run(spec.optimizer, spec.seed, spec.settings_document(), True, result))
        runs += [Run(r.optimizer, r.seed, r.settings, not self.has_plan, r) for r in found.values()]
        groups: dict[str, list[Run]] = {}
        for run in runs:
            groups.setdefault(self._group_key(run.settings, run.seed), []).append(run)
        return [(members, self._differences(members, groups.values())) for members in groups.values()]

    def _differences(self, members: list[Run], groups: Iterable[list[Run]]) -> dict[str, Any]:
        """What sets a group apart, by dotted key: its value, and the suite's where that is another."""
        own = self._flat_settings(members[0])
        plans = [_flatten(spec.settings_document(), spec.seed) for spec in self.reference_plan]
        same_cell = [p for p in plans if all(key_of(p.get(k)) == key_of(own.get(k)) for k in ("data", *_CELL))]
        suites_own = next(iter(same_cell or plans), None)
        others = [self._flat_settings(group[0]) for group in groups]
        differs = {}
        for key, value in own.items():
            if key in self.rules.within or (key == "seed" and not self.rules.seed_is_a_setting):
                continue
            suites = (suites_own or {}).get(key, self._default(key))
            if key not in (*_CELL, "data") and suites_own is not None and key_of(suites) != key_of(value):
                differs[key] = {"value": value, "suite": suites}
            elif (
                (suites_own is None or key == "data")
                and key not in _CELL
                and any(key_of(other.get(key)) != key_of(value) for other in others)
            ):
                differs[key] = {"value": value}
        return differs

    def _default(self, key: str) -> Any:
        """What a setting is where a result does not name it."""
        fields = SUITE_TYPES[self.kind].model_fields
        return fields[key].default if key in fields else None

    def _flat_settings(self, run: Run) -> dict[str, Any]:
        return _flatten(run.settings, run.seed)

    def _caption(self, text: str, differs: Mapping[str, Any]) -> tuple[str, ...]:
        lines = [self.suite.settings.description] if self.suite else []
        lines.append(text)
        if differs:
            parts = []
            for key, entry in differs.items():
                suite = f" (suite: {value_text(entry['suite'])})" if "suite" in entry else ""
                parts.append(f"{key} {value_text(entry['value'])}{suite}")
            others = any("suite" in entry for entry in differs.values())
            origin = "not the suite's settings" if others else "one of several settings"
            lines.append(f"{origin}: {', '.join(parts)}")
        return tuple(lines)

    def rows(self, members: list[Run]) -> list[tuple[str, OptimizerReference, list[Run]]]:
        """Title, optimizer and runs of each row: the suite's order, else the registry's; variants side by side."""
        rows: dict[str, list[Run]] = {}
        for run in members:
            rows.setdefault(run.row_key, []).append(run)
        order = [o.label for o in self.suite.optimizers] if self.suite else []
        order += [spec.optimizer.label for spec in self.specs]
        registry = list(REGISTRY)
        others = sorted(
            (run.optimizer for run in members),
            key=lambda o: (registry.index(o.name) if o.name in REGISTRY else len(registry), _by_number(o.label)),
        )
        order = list(dict.fromkeys(order + [optimizer.label for optimizer in others]))
        by_place = sorted(rows.values(), key=lambda runs: order.index(runs[0].optimizer.label))
        variants: dict[str, list[OptimizerReference]] = {}
        for runs in by_place:
            variants.setdefault(runs[0].optimizer.label, []).append(runs[0].optimizer)
        return [
            (_row_title(runs[0].optimizer, variants[runs[0].optimizer.label]), runs[0].optimizer, runs)
            for runs in by_place
        ]

    def paper(self, column: str | None, optimizer: OptimizerReference, metric: str) -> PaperValue | None:
        """The paper's number for this row, where its optimizer is set as the suite sets it."""
        place = self.reference.settings.paper if self.reference else None
        if place is None:
            return None
        value = paper_value(place.table, place.column or column, optimizer.name, metric, optimizer.hyperparameters)
        if value is None or value.hyperparameters:
            return value
        suites_own = {s.optimizer.label: s.optimizer for s in self.reference_plan if s.optimizer.name == optimizer.name}
        if not suites_own:  # an optimizer that the paper measured and the suite lacks, with the registry's defaults
            return value if optimizer.label == optimizer.name else None
        entry = suites_own.get(optimizer.name) or next(iter(suites_own.values()))
        as_suite = key_of([entry.label, entry.hyperparameters]) == key_of([optimizer.label, optimizer.hyperparameters])
        return value if as_suite else None

    def paper_footnotes(self, rows: Sequence[Row], differs: Mapping[str, Any]) -> list[str]:
        """Where the paper's numbers in `rows` are printed."""
        shown = [cell.paper for row in rows for cell in row.cells if cell.paper]
        if not shown:
            return []
        notes = [f"paper: Table {shown[0].table}, column {shown[0].column}"]
        if any("suite" in entry for entry in differs.values()):
            notes[0] += " (obtained with the suite's settings, not with these)"
        for value in shown:
            if value.place:
                notes.append(f"paper: the value of {REGISTRY[value.optimizer].title} stands in {value.place}")
        return notes

    def table(
        self,
        title: str,
        text: str,
        settings: Mapping[str, Any],
        differs: Mapping[str, Any],
        columns: Sequence[Column],
        rows: Sequence[Row],
        lead: int,
        notes: Sequence[str],
    ) -> Table:
        """The table of a group, with its title and caption."""
        return Table(
            suite=self.name,
            kind=self.kind,
            title=f"{self.name}: {title}" if title and title != self.name else self.name,
            caption=self._caption(text, differs),
            settings=settings,
            columns=tuple(columns),
            rows=tuple(rows),
            lead=lead,
            differs=differs,
            footnotes=tuple(notes),
        )


_CELL = ("surface", "domain", "sharpness")
"""Settings that name a cell of a landscape suite: tables differ in them by design."""


def _by_number(label: str) -> list[tuple[float, str]]:
    """A key that orders labels with numbers by size: `C=5` before `C=20`."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", label)
    return [(float(part), "") if i % 2 else (-1.0, part) for i, part in enumerate(parts)]


def label_of(optimizer: OptimizerReference | None) -> str:
    return optimizer.label if optimizer else ""


def _row_title(optimizer: OptimizerReference, variants: Sequence[OptimizerReference]) -> str:
    """`Adam+CM`, `Adam+CM C=20` (label `adam_cm C=20`), `Adam lr=0.01` (a label with several settings)."""
    title = optimizer_text(optimizer)
    if len(variants) > 1:
        mine = {"name": optimizer.name, **optimizer.hyperparameters}
        others = [{"name": v.name, **v.hyperparameters} for v in variants]
        varying = [k for k, v in mine.items() if any(key_of(o.get(k)) != key_of(v) for o in others)]
        title = " ".join([title, *(f"{k}={value_text(mine[k])}" for k in varying if k != "name")])
    return title


def _flatten(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return flat | {"seed": seed}
