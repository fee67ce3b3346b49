"""Aggregates results into tables: which runs belong together, what stands in each cell, what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cmbench.experiments.plan import RunSpec, plan_convergence, plan_landscapes, plan_training
from cmbench.experiments.result import OptimizerReference, Result
from cmbench.experiments.suite import ResolvedSuite, builtin_suites, load_suite
from cmbench.optim.registry import REGISTRY
from cmbench.report.paper import PaperValue, paper_value
from cmbench.report.statistics import paired_difference, summarize

Better = Literal["higher", "lower"]
NumberFormat = Literal["hundredths", "significant", "integer", "share", "rate"]


@dataclass(frozen=True)
class Column:
    """What a column measures, which direction is better (None: neither), how its numbers are printed."""

    key: str
    title: str
    better: Better | None = None
    format: NumberFormat = "significant"


@dataclass(frozen=True)
class Cell:
    """One aggregate: the mean of `n` values, their sample standard deviation, the paper's number for the same.

    `interval` is set instead of `spread` for a difference: the ends of its 95 % interval. `notes` says what a reader
    must know to read the number, or why there is none. A share (of starts) has neither spread nor interval.
    """

    value: float | None = None
    spread: float | None = None
    n: int = 0
    interval: tuple[float, float] | None = None
    paper: PaperValue | None = None
    best: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runs:
    """How many runs (or starts of one landscape run) stand behind a row, and what became of the others."""

    unit: Literal["seeds", "starts"]
    completed: int
    expected: int
    diverged: int = 0
    diverged_steps: tuple[int, ...] = ()
    failed: int = 0
    interrupted: int = 0
    missing: int = 0

    @property
    def text(self) -> str:
        """`5/5`, or with its reasons: `4/5 seeds, 1 diverged @ step 312`."""
        reasons = []
        if self.diverged:
            steps = sorted(self.diverged_steps)
            where = ""
            if self.unit == "starts" and self.diverged > 1 and steps:
                where = f" (first @ step {steps[0]})"
            elif len(steps) > 1:
                where = f" @ steps {steps[0]}{'–' if len(steps) > 2 else ' and '}{steps[-1]}"
            elif steps:
                where = f" @ step {steps[0]}"
            reasons.append(f"{self.diverged} diverged{where}")
        for status in ("failed", "interrupted", "missing"):
            if count := getattr(self, status):
                reasons.append(f"{count} {status}")
        counts = f"{self.completed}/{self.expected}"
        return ", ".join([f"{counts} {self.unit}", *reasons]) if reasons else counts


@dataclass(frozen=True)
class Row:
    """An optimizer with one set of hyperparameters (or one setting of a convergence suite)."""

    title: str
    cells: tuple[Cell, ...]
    label: str | None = None
    optimizer: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    runs: Runs | None = None


@dataclass(frozen=True)
class Table:
    """Results of one suite with the same settings. The first `lead` columns stand before the count of runs.

    `differs` holds what sets these settings apart from the suite's own and from its other tables, by dotted key.
    """

    suite: str
    kind: str
    title: str
    caption: tuple[str, ...]
    settings: Mapping[str, Any]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    lead: int = 1
    differs: Mapping[str, Any] = field(default_factory=dict)
    footnotes: tuple[str, ...] = ()


def build_tables(
    results: Sequence[Result], *, suites: Iterable[ResolvedSuite] = (), expected: Iterable[RunSpec] | None = None
) -> list[Table]:
    """The tables that `results` fill, suite by suite in the order of their first result.

    Results with equal settings form one table, with one row per label and set of hyperparameters. Only completed runs
    enter a mean; the others are counted beside it. `suites` gives the order of rows and the place in the paper for
    suites that do not ship with cmbench, or were resolved with overrides. `expected` are the runs that should be there;
    by default those that the suites plan for the settings found. Those without a result are shown as missing.
    """
    given = {suite.name: suite for suite in suites}
    wanted = None if expected is None else list(expected)
    names = dict.fromkeys([result.suite.name for result in results] + [spec.suite.name for spec in wanted or ()])
    measured = [result for result in results if result.kind == "sharpness"]
    trained = {result.id for result in results if result.kind == "train"}
    tables = []
    for name in names:
        own = [result for result in results if result.suite.name == name]
        suite = given.get(name) or _builtin(name, own)
        specs = None if wanted is None else [spec for spec in wanted if spec.suite.name == name]
        kinds = dict.fromkeys([result.kind for result in own] + [spec.kind for spec in specs or ()])
        for kind in sorted(kinds, key=list(_KINDS).index):
            chosen = [result for result in own if result.kind == kind]
            if kind == "sharpness":
                chosen = [result for result in chosen if result.settings.get("of") not in trained]
            tables += _Builder(name, kind, chosen, suite, specs, measured).tables()
    return tables


def _builtin(name: str, results: Sequence[Result]) -> ResolvedSuite | None:
    """The suite of that name that ships with cmbench, unless the results are of another with the same name."""
    if name not in builtin_suites():
        return None
    suite = load_suite(name)
    planned = {spec.id for spec in _plan(suite, [r for r in results if r.kind == suite.settings.kind])}
    same = [r for r in results if r.suite.sha256 == suite.sha256 or r.id in planned or r.settings.get("of") in planned]
    return suite if same or not results else None


@dataclass(frozen=True)
class _Run:
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
        return _key([self.optimizer.label, self.optimizer.name, self.optimizer.hyperparameters])


@dataclass(frozen=True)
class _Kind:
    """How runs of a kind are grouped: `within` are the settings that vary inside a table."""

    within: tuple[str, ...] = ()
    seed_is_a_setting: bool = False


_KINDS = {
    "train": _Kind(),
    "sharpness": _Kind(within=("of", "data")),
    "toy": _Kind(seed_is_a_setting=True),
    "escape-ratio": _Kind(within=("sharpness",), seed_is_a_setting=True),
    "convergence": _Kind(within=("capacity", "beta")),
}


def _plan(suite: ResolvedSuite, results: Sequence[Result]) -> list[RunSpec]:
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


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class _Builder:
    """The tables of one suite and one kind of run."""

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
        self.rules = _KINDS[kind]
        self.suite = suite if suite and suite.settings.kind == kind else None
        self.reference = self._reference()
        self.reference_plan = _plan(self.reference, results) if self.reference else []
        self.specs = self._planned() if expected is None else [spec for spec in expected if spec.kind == kind]
        self.has_plan = expected is not None or bool(self.specs)

    def _reference(self) -> ResolvedSuite | None:
        """The suite as it stands in its file: what a reader takes the suite's name to mean."""
        if self.suite and self.name in builtin_suites():
            shipped = load_suite(self.name)
            if shipped.sha256 == self.suite.sha256:
                return shipped
        return self.suite

    def _planned(self) -> list[RunSpec]:
        """What the suite plans, where at least one result has its settings."""
        if not self.suite:
            return []
        plan = _plan(self.suite, self.results)
        found = {self._group_key(result.settings, result.seed) for result in self.results}
        matched = [spec for spec in plan if self._group_key(spec.settings_document(), spec.seed) in found]
        # The surfaces of one suite belong together: where one was run, the others are missing.
        return plan if matched and self.rules.seed_is_a_setting else matched

    def _group_key(self, settings: Mapping[str, Any], seed: int) -> str:
        outer = {name: value for name, value in settings.items() if name not in self.rules.within}
        return _key([outer, seed if self.rules.seed_is_a_setting else None])

    def tables(self) -> list[Table]:
        found = {(result.id, _label(result.optimizer)): result for result in self.results}
        runs = []
        for spec in self.specs:
            result = found.pop((spec.id, _label(spec.optimizer)), None)
            runs.append(_Run(spec.optimizer, spec.seed, spec.settings_document(), True, result))
        runs += [_Run(r.optimizer, r.seed, r.settings, not self.has_plan, r) for r in found.values()]
        groups: dict[str, list[_Run]] = {}
        for run in runs:
            groups.setdefault(self._group_key(run.settings, run.seed), []).append(run)
        tables = []
        for members in groups.values():
            differs = self._differences(members, groups.values())
            tables += getattr(self, "_" + self.kind.replace("-", "_"))(members, differs)
        return tables

    # What the tables have in common

    def _differences(self, members: list[_Run], groups: Iterable[list[_Run]]) -> dict[str, Any]:
        """What sets a group apart, by dotted key: its value, and the suite's where that is another."""
        own = self._flat_settings(members[0])
        plans = [_flatten(spec.settings_document(), spec.seed) for spec in self.reference_plan]
        same_cell = [p for p in plans if all(_key(p.get(k)) == _key(own.get(k)) for k in ("data", *_CELL))]
        suites_own = next(iter(same_cell or plans), None)
        others = [self._flat_settings(group[0]) for group in groups]
        differs = {}
        for key, value in own.items():
            if key in self.rules.within or (key == "seed" and not self.rules.seed_is_a_setting):
                continue
            if key not in (*_CELL, "data") and suites_own is not None and _key(suites_own.get(key)) != _key(value):
                differs[key] = {"value": value, "suite": suites_own.get(key)}
            elif (
                (suites_own is None or key == "data")
                and key not in _CELL
                and any(_key(other.get(key)) != _key(value) for other in others)
            ):
                differs[key] = {"value": value}
        return differs

    def _flat_settings(self, run: _Run) -> dict[str, Any]:
        return _flatten(run.settings, run.seed)

    def _caption(self, text: str, differs: Mapping[str, Any]) -> tuple[str, ...]:
        lines = [self.suite.settings.description] if self.suite else []
        lines.append(text)
        if differs:
            parts = []
            for key, entry in differs.items():
                suite = f" (suite: {_value(entry['suite'])})" if "suite" in entry else ""
                parts.append(f"{key} {_value(entry['value'])}{suite}")
            others = any("suite" in entry for entry in differs.values())
            origin = "not the suite's settings" if others else "one of several settings"
            lines.append(f"{origin}: {', '.join(parts)}")
        return tuple(lines)

    def _rows(self, members: list[_Run]) -> list[tuple[str, OptimizerReference, list[_Run]]]:
        """Title, optimizer and runs of each row: the suite's order, else the registry's; variants side by side."""
        rows: dict[str, list[_Run]] = {}
        for run in members:
            rows.setdefault(run.row_key, []).append(run)
        order = [o.label for o in self.suite.optimizers] if self.suite else []
        order += [spec.optimizer.label for spec in self.specs]
        registry = list(REGISTRY)
        others = sorted(
            (run.optimizer for run in members),
            key=lambda o: (registry.index(o.name) if o.name in REGISTRY else len(registry), o.label),
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

    def _paper(self, column: str | None, optimizer: OptimizerReference, metric: str) -> PaperValue | None:
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
        as_suite = _key([entry.label, entry.hyperparameters]) == _key([optimizer.label, optimizer.hyperparameters])
        return value if as_suite else None

    def _paper_footnotes(self, rows: Sequence[Row], differs: Mapping[str, Any]) -> list[str]:
        shown = [cell.paper for row in rows for cell in row.cells if cell.paper]
        if not shown:
            return []
        notes = [f"paper: Table {shown[0].table}, column {shown[0].column}"]
        if any("suite" in entry for entry in differs.values()):
            notes[0] += " (obtained with the suite's settings, not with these)"
        for value in shown:
            if value.place:
                notes.append(f"paper: the value of {REGISTRY[value.optimizer].title} stands in {value.place}")
        if shown[0].table == 1 and shown[0].column == "goldstein_price":
            notes.append(
                "The paper's Goldstein-Price losses are positive, while the minima of the logarithmic form lie between "
                "−3.13 and −0.81: its losses cannot come from that formula, so only their order can be compared."
            )
        return notes

    # One method per kind

    def _train(self, members: list[_Run], differs: Mapping[str, Any]) -> list[Table]:
        settings = members[0].settings
        completed = [run.result for run in members if run.completed]
        families = [f for f in _VALIDATION if any(f"{f}_best" in result.metrics for result in completed)]
        sharpness = dict(self._sharpness_columns(completed))
        rows_of = self._rows(members)
        reference = next((row for row in rows_of if any(run.completed for run in row[2])), rows_of[0])

        columns = []
        for family in families or ["val_accuracy"]:
            title, better = _VALIDATION[family]
            columns.append(Column(f"{family}_best", f"best {title}", better, "hundredths"))
            columns.append(Column(f"{family}_best_vs_{_label(reference[1])}", f"vs {reference[0]}", None, "hundredths"))
        lead = len(columns)
        for family in families or ["val_accuracy"]:
            title, better = _VALIDATION[family]
            columns.append(Column(f"{family}_final", f"final {title}", better, "hundredths"))
        columns.append(Column("train_loss_final", "train loss", "lower"))
        columns.append(Column("distance", "distance ‖θ−θ₀‖"))
        columns += sharpness
        columns.append(Column("wall_seconds", "seconds per run"))
        columns.append(Column("gradient_evaluations", "gradients per run", None, "integer"))

        planned_seeds = {run.seed for run in members if run.planned}
        rows = []
        for title, optimizer, runs in rows_of:
            cells = []
            for column in columns:
                metric, versus, _ = column.key.partition("_vs_")
                if versus:
                    cells.append(_versus(metric, runs, reference[2]) if runs is not reference[2] else Cell())
                    continue
                values = [_measured(run.result, column, sharpness) for run in runs if run.completed]
                summary = summarize(values)
                paper = self._paper(None, optimizer, metric)
                notes = (f"n={summary.n}",) if 0 < summary.n < len(values) else ()
                measured = [
                    sharpness[column].get(run.result.id) for run in runs if run.completed and column in sharpness
                ]
                if lost := sum(m is not None and m.status != "completed" for m in measured):
                    notes = (*notes, f"{lost} failed")
                cells.append(Cell(summary.mean, summary.std, summary.n, paper=paper, notes=notes))
            seeds = {run.seed for run in runs} | (planned_seeds if any(run.planned for run in runs) else set())
            rows.append(_row(title, optimizer, cells, _count(runs, len(seeds))))
        # With nothing to compare with, the column of differences says nothing.
        kept = [
            i
            for i, column in enumerate(columns)
            if "_vs_" not in column.key or any(row.cells[i].value is not None for row in rows)
        ]
        lead -= len(columns) - len(kept)
        columns = [columns[i] for i in kept]
        rows = [replace(row, cells=tuple(row.cells[i] for i in kept)) for row in rows]
        rows = _mark_best(rows, columns)

        notes = _spread_note(rows, "seeds")
        if any("_vs_" in column.key for column in columns):
            notes.append(
                f"vs {reference[0]}: mean difference over the seeds that both completed, with its 95 % t-interval"
            )
        notes += self._paper_footnotes(rows, differs) + _failures(rows_of) + _survivors(rows)
        schedule = _schedule(settings.get("schedule") or {}, "epoch")
        text = (
            f"workload {settings.get('workload')}, {_plural(settings.get('epochs'), 'epoch')}, "
            f"batch size {settings.get('batch_size')}, {schedule}"
        )
        return [self._table("", text, settings, differs, columns, rows, lead, notes)]

    def _sharpness_columns(self, completed: Sequence[Result]) -> list[tuple[Column, dict[str, Result]]]:
        """One column for each way in which these runs were measured, with the measurements by the run they are of."""
        ids = {result.id for result in completed}
        ways: dict[str, dict[str, Result]] = {}
        for result in self.measured:
            if result.settings.get("of") in ids:
                way = {k: v for k, v in result.settings.items() if k not in _KINDS["sharpness"].within}
                ways.setdefault(_key(way), {})[result.settings["of"]] = result
        decoded = [json.loads(way) for way in ways]
        columns = []
        for way, results in zip(decoded, ways.values(), strict=True):
            varying = [f"{k}={_value(v)}" for k, v in way.items() if any(w.get(k) != v for w in decoded)]
            detail = ", ".join(varying)
            key = f"top_eigenvalue[{detail}]" if detail else "top_eigenvalue"
            title = f"sharpness λmax ({detail})" if detail else "sharpness λmax"
            columns.append((Column(key, title, "lower"), results))
        return columns

    def _sharpness(self, members: list[_Run], differs: Mapping[str, Any]) -> list[Table]:
        """Measurements whose training runs are not among the results."""
        columns = [Column("top_eigenvalue", "sharpness λmax", "lower")]
        rows_of = self._rows(members)
        rows = []
        for title, optimizer, runs in rows_of:
            summary = summarize(run.result.metrics.get("top_eigenvalue") for run in runs if run.completed)
            cells = [Cell(summary.mean, summary.std, summary.n)]
            rows.append(_row(title, optimizer, cells, _count(runs, len(runs))))
        settings = {k: v for k, v in members[0].settings.items() if k not in self.rules.within}
        how = ", ".join(f"{key} {'all' if value is None else _value(value)}" for key, value in settings.items())
        text = f"largest eigenvalue of the training loss's Hessian ({how})"
        rows = _mark_best(rows, columns)
        notes = [*_spread_note(rows, "runs"), *_failures(rows_of), *_survivors(rows)]
        return [self._table("sharpness", text, settings, differs, columns, rows, 1, notes)]

    def _toy(self, members: list[_Run], differs: Mapping[str, Any]) -> list[Table]:
        settings = members[0].settings
        columns = [
            Column("loss_final", "loss", "lower"),
            Column("sharpness", "sharpness", "lower"),
            Column("loss_best", "best loss", "lower"),
            Column("distance_to_minimum", "distance to minimum", "lower"),
            Column("reached_global", "reached global", "higher", "share"),
            Column("path_length", "path length"),
            Column("cancellation", "cancellation"),
        ]
        # A surface may have no known minimum, and cancellation is only measured where the buffer is traced.
        measured = {key for run in members if run.result for key in run.result.lanes}
        columns = [column for i, column in enumerate(columns) if i < 2 or column.key in measured]
        rows_of = self._rows(members)
        rows = []
        for title, optimizer, (run,) in rows_of:
            starts = _starts(run)
            cells = []
            for column in columns:
                lanes = list(run.result.lanes.get(column.key, ())) if run.result else []
                paper = self._paper(settings["surface"], optimizer, column.key)
                if run.status in ("missing", "failed", "interrupted"):
                    cells.append(Cell(paper=paper))
                elif column.format == "share":
                    # A start that diverged has not reached the minimum.
                    cells.append(_share([bool(lane) for lane in lanes], paper))
                else:
                    alive = _alive(run.result)
                    kept = [lane for lane, ok in zip(lanes, alive, strict=False) if ok] if alive else lanes
                    summary = summarize(kept)
                    notes = (f"n={summary.n}",) if 0 < summary.n < len(kept) else ()
                    cells.append(Cell(summary.mean, summary.std, summary.n, paper=paper, notes=notes))
            rows.append(_row(title, optimizer, cells, starts))
        rows = _mark_best(rows, columns)
        notes = [*_spread_note(rows, "starts"), *self._paper_footnotes(rows, differs), *_failures(rows_of)]
        text = _landscape(settings, members[0].seed)
        return [self._table(_surface(settings), text, settings, differs, columns, rows, 2, notes + _survivors(rows))]

    def _escape_ratio(self, members: list[_Run], differs: Mapping[str, Any]) -> list[Table]:
        coefficients = sorted({run.settings["sharpness"] for run in members})
        columns = [Column(f"s={_value(s)}", f"s={_value(s)}", "higher", "share") for s in coefficients]
        rows_of = self._rows(members)
        settings = {k: v for k, v in members[0].settings.items() if k != "sharpness"}
        text = _landscape(settings, members[0].seed)
        tables = []
        for suffix, title in (("all", "by every coordinate"), ("nearer", "by nearer minimum")):
            rows = []
            for row_title, optimizer, runs in rows_of:
                cells = []
                for s in coefficients:
                    run = next((run for run in runs if run.settings["sharpness"] == s), None)
                    if run is None or run.status in ("missing", "failed", "interrupted"):
                        cells.append(Cell(notes=(run.status if run else "missing",)))
                        continue
                    lanes = [lane for lane in run.result.lanes.get(f"escaped_{suffix}", ()) if lane is not None]
                    starts = _starts(run)
                    notes = (f"{starts.diverged} diverged",) if starts.diverged else ()
                    cells.append(replace(_share([bool(lane) for lane in lanes], None), notes=notes))
                rows.append(_row(row_title, optimizer, cells, None))
            rows = _mark_best(rows, columns)
            where = {
                "all": "with every coordinate in the basin of the flat minimum",
                "nearer": "nearer to the flat minimum than to the sharp one",
            }[suffix]
            notes = [f"share of starts (their number) that end {where}, by sharpness coefficient s"]
            notes += _failures(rows_of)
            tables.append(
                self._table(f"escape ratio {title}", text, settings, differs, columns, rows, len(columns), notes)
            )
        return tables

    def _convergence(self, members: list[_Run], differs: Mapping[str, Any]) -> list[Table]:
        settings = {k: v for k, v in members[0].settings.items() if k not in self.rules.within}
        numbers = [float(number) for number in settings["condition_numbers"]]
        columns = [Column(f"condition_number={n:g}", f"κ={n:,.10g}", "lower", "rate") for n in numbers]
        rows = []
        in_plan = [run for run in members if self.has_plan and run.planned]
        others = [run for run in members if not (self.has_plan and run.planned)]
        others.sort(key=lambda run: (run.settings["capacity"], run.settings["beta"] or -1))
        for run in in_plan + others:
            curves = run.result.curves if run.result else {}
            rates = dict(zip(map(float, curves.get("condition_number", ())), curves.get("rate", ()), strict=False))
            cells = []
            for number in numbers:
                rate = rates.get(number)
                notes = () if run.completed else (run.status,)
                cells.append(Cell(rate, None, int(rate is not None), notes=notes))
            capacity, beta = run.settings["capacity"], run.settings["beta"]
            title = f"C={capacity}, {'β optimised' if beta is None else f'β={beta:g}'}"
            rows.append(Row(title, tuple(cells)))
        rows = _mark_best(rows, columns)
        notes = ["asymptotic rate on a quadratic of condition number κ: the factor by which a step shrinks the error"]
        notes += [f"{self.name}: {r.result.error}" for r in members if r.status == "failed" and r.result.error]
        text = "asymptotic convergence rate, by memory capacity C (0: classical momentum) and momentum β"
        return [self._table("convergence", text, settings, differs, columns, rows, len(columns), notes)]

    def _table(self, title, text, settings, differs, columns, rows, lead, notes) -> Table:
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


_VALIDATION: dict[str, tuple[str, Better]] = {
    "val_accuracy": ("val. accuracy %", "higher"),
    "val_perplexity": ("val. perplexity", "lower"),
}
_CELL = ("surface", "domain", "sharpness")
"""Settings that name a cell of a landscape suite: tables differ in them by design."""


def _label(optimizer: OptimizerReference | None) -> str:
    return optimizer.label if optimizer else ""


def _row_title(optimizer: OptimizerReference, variants: Sequence[OptimizerReference]) -> str:
    """`Adam+CM`, `Adam+CM C=20` (label `adam_cm C=20`), `Adam lr=0.01` (a label with several settings)."""
    title = REGISTRY[optimizer.name].title if optimizer.name in REGISTRY else optimizer.name
    if optimizer.label != optimizer.name:
        rest = optimizer.label.removeprefix(optimizer.name)
        title += f" {rest.strip()}" if rest.startswith(" ") else f" ({optimizer.label})"
    if len(variants) > 1:
        mine = {"name": optimizer.name, **optimizer.hyperparameters}
        others = [{"name": v.name, **v.hyperparameters} for v in variants]
        varying = [k for k, v in mine.items() if any(_key(o.get(k)) != _key(v) for o in others)]
        title = " ".join([title, *(f"{k}={_value(mine[k])}" for k in varying if k != "name")])
    return title


def _row(title: str, optimizer: OptimizerReference, cells: list[Cell], runs: Runs | None) -> Row:
    return Row(title, tuple(cells), optimizer.label, optimizer.name, optimizer.hyperparameters, runs)


def _count(runs: Sequence[_Run], expected: int) -> Runs:
    """What became of a row's runs; seeds that other rows have and this one lacks are missing."""
    tally = {status: sum(run.status == status for run in runs) for status in ("completed", "failed", "interrupted")}
    diverged = [run.result for run in runs if run.status == "diverged"]
    present = sum(run.result is not None for run in runs)
    steps = tuple(result.diverged_step for result in diverged if result.diverged_step is not None)
    return Runs(
        "seeds", tally["completed"], expected, len(diverged), steps, tally["failed"], tally["interrupted"],
        expected - present,
    )  # fmt: skip


def _alive(result: Result) -> list[bool]:
    """Which starts of a landscape run ended with a finite loss."""
    return [loss is not None for loss in result.lanes.get("loss_final", ())]


def _starts(run: _Run) -> Runs:
    expected = len(run.settings.get("start_points") or ()) or run.settings["starts"]
    if run.result is None:
        return Runs("starts", 0, expected, missing=expected)
    if run.status in ("failed", "interrupted"):
        return Runs("starts", 0, expected, **{run.status: expected})
    alive = sum(_alive(run.result))
    step = run.result.diverged_step
    diverged = expected - alive
    return Runs("starts", alive, expected, diverged, (step,) if diverged and step is not None else ())


def _share(lanes: Sequence[bool], paper: PaperValue | None) -> Cell:
    if not lanes:
        return Cell(paper=paper)
    return Cell(sum(lanes) / len(lanes), None, len(lanes), paper=paper)


def _measured(result: Result, column: Column, sharpness: Mapping[Column, Mapping[str, Result]]) -> float | None:
    if column in sharpness:
        measurement = sharpness[column].get(result.id)
        return measurement.metrics.get("top_eigenvalue") if measurement and measurement.status == "completed" else None
    if column.key in ("wall_seconds", "gradient_evaluations"):
        return getattr(result.cost, column.key) if result.cost else None
    return result.metrics.get(column.key)


def _versus(metric: str, runs: Sequence[_Run], baseline: Sequence[_Run]) -> Cell:
    ours, theirs = (
        {run.seed: run.result.metrics.get(metric) for run in row if run.completed} for row in (runs, baseline)
    )
    difference = paired_difference(ours, theirs)
    if difference is None:
        return Cell()
    partial = difference.n < min(len(ours), len(theirs))
    notes = (f"n={difference.n}",) if partial else ()
    return Cell(difference.mean, None, difference.n, (difference.low, difference.high), notes=notes)


def _eligible(row: Row, column: Column) -> bool:
    """A mean over the survivors of divergence is not in the running; a share counts every start anyway."""
    return column.format == "share" or row.runs is None or not (row.runs.diverged or row.runs.failed)


def _mark_best(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Marks the best mean of every column that has a better direction and at least two rows to choose from."""
    marked = [list(row.cells) for row in rows]
    for i, column in enumerate(columns):
        if column.better is None or sum(row.cells[i].value is not None for row in rows) < 2:
            continue
        values = [row.cells[i].value for row in rows if row.cells[i].value is not None and _eligible(row, column)]
        if not values:
            continue
        best = max(values) if column.better == "higher" else min(values)
        for cells, row in zip(marked, rows, strict=True):
            if row.cells[i].value == best and _eligible(row, column):
                cells[i] = replace(cells[i], best=True)
    return [replace(row, cells=tuple(cells)) for row, cells in zip(rows, marked, strict=True)]


def _spread_note(rows: Sequence[Row], over: str) -> list[str]:
    has_spread = any(cell.spread is not None for row in rows for cell in row.cells)
    return [f"± is the standard deviation over {over}"] if has_spread else []


def _survivors(rows: Sequence[Row]) -> list[str]:
    if any(row.runs and (row.runs.diverged or row.runs.failed) and row.runs.completed for row in rows):
        unit = next(row.runs.unit for row in rows if row.runs)
        return [f"Where {unit} diverged or failed, the mean is over the others, and the row is not marked as best."]
    return []


def _failures(rows_of: Iterable[tuple[str, OptimizerReference, list[_Run]]]) -> list[str]:
    """The error of every failed run, equal ones once."""
    lines: dict[str, None] = {}
    for title, _, runs in rows_of:
        for run in runs:
            if run.status == "failed" and run.result.error:
                lines[f"{title} failed: {run.result.error}"] = None
    return list(lines)


def _flatten(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return flat | {"seed": seed}


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return "none" if value is None else str(value)


def _plural(count: int | None, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _schedule(schedule: Mapping[str, Any], unit: str) -> str:
    if schedule.get("name") != "step":
        return "constant learning rate"
    milestones = schedule["milestones"]
    several = f"{unit}s" if len(milestones) > 1 else unit
    return f"learning rate ×{_value(schedule['gamma'])} at {several} {', '.join(map(str, milestones))}"


def _surface(settings: Mapping[str, Any]) -> str:
    coefficient = settings.get("sharpness")
    return settings["surface"] + (f", s={_value(coefficient)}" if coefficient is not None else "")


def _landscape(settings: Mapping[str, Any], seed: int) -> str:
    points = settings.get("start_points")
    if points:
        starts = _plural(len(points), "given start")
    else:
        starts = _plural(settings["starts"], "start")
        if settings.get("domain"):
            starts += f" in {_value(settings['domain'])}"
        starts += f" (seed {seed})"
    schedule = _schedule(settings.get("schedule") or {}, "step")
    return f"{settings['surface']} in {settings['dim']}-D: {starts}, {settings['steps']} steps, {schedule}"
