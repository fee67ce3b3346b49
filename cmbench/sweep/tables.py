"""A sweep's findings as tables, and as a document for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cmbench.experiments.result import OptimizerReference
from cmbench.report.captions import optimizer_text, plural, table_caption
from cmbench.report.columns.metrics import best as best_column
from cmbench.report.table import Cell, Column, Direction, NumberFormat, Row, Table
from cmbench.report.tables.training import training_text
from cmbench.sweep.best import best_lines, metric_of
from cmbench.sweep.findings import ENOUGH, ArmFindings, Findings
from cmbench.sweep.samplers import startup
from cmbench.sweep.trials import State

SCHEMA = "cmbench.sweep/1"
_LOST: dict[State, str] = {
    "pruned": "pruned",
    "diverged": "diverged",
    "failed": "failed",
    "running": "running elsewhere",
}


def sweep_tables(found: Findings) -> list[Table]:
    """What each optimizer got and its best setting; the expected best of k trials; the importance of each axis."""
    return [_trials(found), *_best_of(found), *_importances(found)]


def _column(
    key: str, title: str, format: NumberFormat, explanation: str, direction: Direction | None = None
) -> Column[ArmFindings]:
    return Column(key, title, direction, format, explanation, lambda _: Cell())


def reference(found: ArmFindings) -> OptimizerReference:
    """The optimizer of an arm as tables and figures name it."""
    spec = found.arm.spec
    return OptimizerReference(name=spec.name, label=spec.label, hyperparameters=spec.hyperparameters)


def _table(
    found: Findings, title: str, columns: Sequence[Column[ArmFindings]], rows: Sequence[Row], **more: Any
) -> Table:
    suite = found.sweep.suite
    settings = suite.settings.document()
    return Table(suite.name, "train", title, more.pop("caption", ()), settings, tuple(columns), tuple(rows), 0, **more)


def _row(found: ArmFindings, cells: Sequence[Cell]) -> Row:
    named = reference(found)
    return Row(optimizer_text(named), tuple(cells), named.label, named.name, named.hyperparameters)


def _trials(found: Findings) -> Table:
    metric = best_column(metric_of(found))
    states = [state for state in _LOST if any(each.count(state) for each in found.arms)]
    columns = [
        _column("trials", "trials", "integer", "Settings that were tried, and came to an end."),
        *(_column(state, _LOST[state], "integer", f"Trials that are {_LOST[state]}.") for state in states),
        _column("found", "runs found", "integer", "Runs of its trials that had been done before, and cost nothing."),
        _column(metric.key, metric.title, metric.format, f"{metric.explanation} Of the best trial.", metric.direction),
        _column("setting", "best setting", "significant", "The setting of the best trial."),
    ]
    best = [each.best.value for each in found.arms if each.best and each.best.value is not None]
    top = ((max if found.direction == "higher" else min)(best)) if len(best) > 1 else None
    rows = []
    for each in found.arms:
        value = each.best.value if each.best else None
        counts = [each.over, *(each.count(state) for state in states), sum(trial.found for trial in each.trials)]
        seeds = len(each.best.values) if each.best else 0
        cells = [Cell(float(count), n=1) for count in counts]
        cells.append(Cell(value, each.spread, seeds, best=value is not None and value == top))
        cells.append(Cell(notes=(each.arm.space.text(each.best.setting) or "the suite's",) if each.best else ()))
        rows.append(_row(each, cells))
    suite = found.sweep.suite
    caption = table_caption(suite.settings.description, training_text(suite.settings.document(), [metric]), ())
    lines = (_heading(found, metric.title), *best_lines(found))
    return _table(found, suite.name, columns, rows, caption=caption, footnotes=_notes(found), verbatim=lines)


def _heading(found: Findings, metric: str) -> str:
    seeds = _seeds(found)
    over = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    return f"# Best settings by the mean {metric} over {over}; to be copied into the suite {found.sweep.source.name}:"


def _seeds(found: Findings) -> list[int]:
    suite = found.sweep.suite
    return list(range(suite.first_seed, suite.first_seed + suite.settings.seeds))


def _notes(found: Findings) -> tuple[str, ...]:
    how = {
        "grid": "all settings of the grid" if found.rules.whole else "settings of the grid in a random order",
        "random": "settings at random",
        "gp": "a Sobol sequence, then a Gaussian process",
        "tpe": "a Sobol sequence, then a tree of Parzen estimators",
    }[found.rules.sampler]
    notes = [f"sampler {found.rules.sampler}: {how}" + (f" (seed {found.rules.seed})" if not found.rules.whole else "")]
    if found.rules.prune:
        notes.append("pruned: behind the best third of trials at the same epoch of the first seed (successive halving)")
    if len(_seeds(found)) > 1:
        notes.append(f"± is the standard deviation over {len(_seeds(found))} seeds")
    if not found.equal:
        least, most = (side(found.arms, key=lambda each: each.over) for side in (min, max))
        notes.append(
            f"NOT the same budget: {least.arm.label} got {plural(least.over, 'trial')}, {most.arm.label} {most.over}; "
            f"the best of more is better by chance alone (--trials {max(least.over, 1)} gives all as many)"
        )
    if few := [each.arm.label for each in found.arms if each.importances is None]:
        notes.append(
            f"no importances for {', '.join(few)}: fewer than {ENOUGH} trials completed, or all are equally good"
        )
    if found.lost:
        notes.append("a trial of which a seed diverged or failed counts as the worst of all")
    for each in found.arms:
        for edge in each.edges:
            value = each.best.setting[edge.name] if each.best else None
            notes.append(
                f"{each.arm.label}: the best {edge.name}, {value:g}, is at the {edge.end} end of its range: "
                f"{'smaller' if edge.end == 'lower' else 'greater'} values were not tried"
            )
    return tuple(notes)


def _best_of(found: Findings) -> list[Table]:
    most = max(len(each.best_of) for each in found.arms)
    if most < 2:
        return []
    counts = [k for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512) if k < most] + [most]
    metric = metric_of(found)
    columns = [
        _column(f"best_of_{k}", f"k = {k}", metric.format, f"Expected best of {k} trials.", metric.direction)
        for k in counts
    ]
    rows = []
    for each in found.arms:
        curve = each.best_of
        rows.append(_row(each, [Cell(curve[k - 1], n=len(curve)) if k <= len(curve) else Cell() for k in counts]))
    notes = ["the exact expectation over all choices of k of an optimizer's trials (after Dodge et al. 2019)"]
    if found.rules.sampler in ("gp", "tpe") and any(
        len(each.best_of) > startup(each.arm.space, found.rules.sampler) for each in found.arms
    ):
        notes.append("the sampler's later trials know the earlier ones: a search of k trials would have found less")
    title = f"{found.sweep.suite.name}: expected best of k trials, {best_column(metric).title}"
    return [_table(found, title, columns, rows, footnotes=tuple(notes))]


def _importances(found: Findings) -> list[Table]:
    title = f"{found.sweep.suite.name}: importance of each hyperparameter"
    names = list(dict.fromkeys(name for each in found.arms for name in each.importances or ()))
    notes = ["the share of the metric's variance between trials that it explains, by fANOVA (Hutter et al. 2014)"]
    if not names:
        return []
    columns = [_column(name, name, "share", f"Share of the variance that {name} explains.") for name in names]
    rows = [
        _row(each, [Cell(notes=("—",)) if (share := each.importances.get(n)) is None else _plain(share) for n in names])
        for each in found.arms
        if each.importances
    ]
    return [_table(found, title, columns, rows, footnotes=tuple(notes))]


def _plain(share: float) -> Cell:
    return Cell(share, n=1)


def sweep_document(found: Findings) -> dict[str, Any]:
    """What `--json` prints: `optimizers` holds every trial, and what the tables say of it."""
    suite = found.sweep.suite
    return {
        "schema": SCHEMA,
        "suite": suite.name,
        "metric": best_column(metric_of(found)).key,
        "better": found.direction,
        "sampler": found.rules.sampler,
        "sampler_seed": found.rules.seed,
        "prune": found.rules.prune,
        "seeds": _seeds(found),
        "same_budget": found.equal,
        "optimizers": [_optimizer(each) for each in found.arms],
        "best_settings": "\n".join(best_lines(found)) + "\n",
    }


def _optimizer(found: ArmFindings) -> dict[str, Any]:
    return {
        "label": found.arm.label,
        "optimizer": found.arm.spec.name,
        "space": found.arm.space.document(),
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "setting": trial.setting,
                "value": trial.value,
                "values": list(trial.values),
                "runs_found": trial.found,
            }
            for trial in found.trials
        ],
        "best": found.best.number if found.best else None,
        "expected_best_of": list(found.best_of),
        "importances": found.importances,
        "edges": {edge.name: edge.end for edge in found.edges},
    }
