"""The best settings of a sweep as a suite: the lines to copy, or whole files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cmbench.experiments import yaml
from cmbench.experiments.atomic import write_bytes
from cmbench.experiments.files import folder_name
from cmbench.experiments.suite import ResolvedSuite
from cmbench.experiments.sweep.checks import is_setting, with_settings
from cmbench.experiments.text import canonical, value_text
from cmbench.optim.registry import REGISTRY
from cmbench.report.columns.metrics import ValidationMetric, metric_called
from cmbench.report.formats.numbers import Notation
from cmbench.report.table import Cell
from cmbench.sweep.findings import ArmFindings, Findings


def best_lines(found: Findings) -> tuple[str, ...]:
    """The best settings as lines of a suite: keys that all optimizers share, and an entry for each of them.

    Where the best of the optimizers differ in a setting of the suite, which a suite has one of, it stands in a comment.
    """
    chosen = [each for each in found.arms if each.best]
    if not chosen:
        return ("# No trial completed.",)
    shared = {canonical(_settings(each)): _settings(each) for each in chosen}
    lines = [*(() if len(shared) > 1 else _shared_lines(found, chosen)), "optimizers:"]
    metric = metric_of(found)
    notation = Notation.of(metric.format, [Cell(each.best.value, each.spread) for each in chosen if each.best])
    for each in found.arms:
        if each.best is None or each.best.value is None:
            lines.append(f"  # {each.arm.label}: no trial completed")
            continue
        spread = "" if each.spread is None else f" ± {notation.text(each.spread)}"
        own = "".join(f"; {name} {value_text(value)}" for name, value in _settings(each).items() if len(shared) > 1)
        lines += [f"  # {notation.text(each.best.value)}{spread}{own}", f"  {yaml.entry(each.arm.label, _entry(each))}"]
    return tuple(lines)


def _shared_lines(found: Findings, chosen: list[ArmFindings]) -> list[str]:
    document = _suite(found, chosen).document()
    keys = dict.fromkeys(name.partition(".")[0] for name in _settings(chosen[0]))
    values = [(key, document[key]) for key in keys]
    return [yaml.entry(k, v) if isinstance(v, dict) else yaml.dump({k: v}).strip() for k, v in values]


def metric_of(found: Findings) -> ValidationMetric:
    """The metric that the sweep went by."""
    return metric_called(found.metric, found.direction)


def save_suites(found: Findings, file: Path) -> list[Path]:
    """Writes the suite with the best settings, with seeds and all as it is in its own file, and returns its path.

    Where the best of the optimizers differ in a setting of the suite, each of those settings has a file of its own,
    with the setting in its name.
    """
    groups: dict[str, list[ArmFindings]] = {}
    for each in found.arms:
        if each.best:
            groups.setdefault(canonical(_settings(each)), []).append(each)
    written = []
    for members in groups.values():
        text = " ".join(f"{name}={value_text(value, compact=True)}" for name, value in _settings(members[0]).items())
        path = file if len(groups) == 1 else file.with_name(f"{file.stem}_{folder_name(text)}{file.suffix}")
        write_bytes(path, _suite(found, members).as_yaml().encode())
        written.append(path)
    return written


def _suite(found: Findings, members: list[ArmFindings]) -> ResolvedSuite:
    source = found.sweep.source
    settings = with_settings(source.settings, _settings(members[0]))
    settings = settings.model_copy(update={"paper": None})
    trials = [found.sweep.trial(each.arm, each.best.setting).optimizers[0] for each in members if each.best]
    optimizers = tuple(replace(spec, label=each.arm.label) for spec, each in zip(trials, members, strict=True))
    return replace(source, settings=settings, optimizers=optimizers)


def _settings(found: ArmFindings) -> dict[str, Any]:
    """The best values of what is no hyperparameter."""
    return {name: value for name, value in found.best.setting.items() if is_setting(name)} if found.best else {}


def _entry(found: ArmFindings) -> dict[str, Any]:
    """The best hyperparameters as an entry below `optimizers`: those that are tried, and what is no default."""
    spec, setting = found.arm.spec, found.best.setting if found.best else {}
    values = spec.hyperparameters | {name: value for name, value in setting.items() if not is_setting(name)}
    if spec.name in REGISTRY:
        defaults = REGISTRY[spec.name].defaults
        kept = {n: v for n, v in values.items() if n in setting or n not in defaults or v != defaults[n]}
    else:
        kept = {n: v for n, v in values.items() if n in setting or n in found.arm.given}
    return ({} if spec.name == spec.label else {"name": spec.name}) | kept
