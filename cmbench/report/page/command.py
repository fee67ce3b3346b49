"""The command line that runs again what stands behind a row."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cmbench.experiments.flatness import ways_to_measure
from cmbench.experiments.grid import split_label, suite_of_grid
from cmbench.experiments.kinds import Kind
from cmbench.experiments.measurements import SharpnessSettings
from cmbench.experiments.result import OptimizerReference
from cmbench.experiments.suite import ResolvedSuite, builtin_suites, load_suite
from cmbench.experiments.text import canonical
from cmbench.optim.registry import REGISTRY, get_info
from cmbench.report.runs.groups import Group
from cmbench.report.runs.run import Run

_OF_A_CELL: Mapping[Kind, Mapping[str, str]] = {
    "toy": {"sharpness": "sharpness"},
    "escape-ratio": {"sharpness": "sharpness"},
    "convergence": {"capacity": "capacity", "beta": "beta"},
}
"""Settings of which a suite has a list and a run one value."""


def command_of(group: Group, optimizer: OptimizerReference | None, runs: Sequence[Run]) -> str:
    """`cmbench train --suite digits --opt adam_cm --seeds 3 --set epochs=4`: gives `runs` of `group` again.

    What differs from the suite's file stands in `--set`. A suite that does not ship with cmbench is named by its file,
    `NAME.yaml`.
    """
    if group.suite.kind == "sharpness":
        return shlex.join(["cmbench", "sharpness", *_sharpness(group, optimizer)])
    name = suite_of_grid(group.suite.name) if group.suite.is_grid else None
    name = name or group.suite.name
    ships = name in builtin_suites()
    words = ["cmbench", group.suite.kind, "--suite", name if ships else f"{name}.yaml"]
    if optimizer:
        words += ["--opt", _called(_file_suite(group), optimizer)]
    if group.suite.kind == "train":
        words += _seeds({run.seed for run in runs})
    sets = [f"{d.key}={_yaml(d.value)}" for d in group.differs if d.from_suite]
    sets += _cells(group, runs)
    sets += _hyperparameters(_file_suite(group), optimizer) if optimizer else []
    return shlex.join([*words, *_surface(group), *(word for each in sets for word in ("--set", each))])


def _file_suite(group: Group) -> ResolvedSuite | None:
    """The suite that the command names, as it stands in its file."""
    name = suite_of_grid(group.suite.name) if group.suite.is_grid else None
    return load_suite(name) if name and name in builtin_suites() else group.suite.file_suite


def _called(suite: ResolvedSuite | None, optimizer: OptimizerReference) -> str:
    """What `--opt` takes for an optimizer: its label; without the setting that a grid or `--capacity` gave it."""
    base = split_label(optimizer.label, optimizer.hyperparameters)[0]
    labels = [spec.label for spec in suite.optimizers] if suite else [optimizer.label]
    candidates = (optimizer.label, base, re.sub(r" C=\d+$", "", base))
    return next((label for label in candidates if label in labels), optimizer.name)


def _seeds(seeds: Iterable[int]) -> list[str]:
    ordered = sorted(seeds)
    if len(ordered) > 1 and ordered == list(range(len(ordered))):
        return ["--seeds", str(len(ordered))]
    return [word for seed in ordered for word in ("--seed", str(seed))]


def _surface(group: Group) -> list[str]:
    """Which of several surfaces, for the command that can be told."""
    suite = group.suite.file_suite
    planned = list(getattr(suite.settings, "domains", {})) if suite else []
    surface = group.settings.get("surface")
    return ["--surface", str(surface)] if group.suite.kind == "toy" and planned != [surface] and suite else []


def _cells(group: Group, runs: Sequence[Run]) -> list[str]:
    """The lists of the suite, as far as `runs` hold others than the file plans; and another domain."""
    if not group.suite.file_plan:
        return []
    plans = [spec.settings_document() for spec in group.suite.file_plan]
    found = []
    for setting, key in _OF_A_CELL.get(group.suite.kind, {}).items():
        here = list(dict.fromkeys(run.settings.get(setting) for run in runs if run.result))
        planned = list(dict.fromkeys(plan.get(setting) for plan in plans))
        if set(here) != set(planned) and here != [None]:
            found.append(f"{key}={_yaml(here)}")
    surface, domain = group.settings.get("surface"), group.settings.get("domain")
    known = [plan.get("domain") for plan in plans if plan.get("surface") == surface]
    if domain and all(canonical(domain) != canonical(each) for each in known):
        found.append(f"domain={_yaml(domain)}")
    return found


def _hyperparameters(suite: ResolvedSuite | None, optimizer: OptimizerReference) -> list[str]:
    """Those that differ from the suite's, or from the registry's where the suite does not have the optimizer."""
    if suite is None:
        return []
    label = _called(suite, optimizer)
    own = next((spec.hyperparameters for spec in suite.optimizers if spec.label == label), None)
    if own is None:
        own = get_info(label).defaults if label in REGISTRY else {}
    return [
        f"optimizers.{label}.{key}={_yaml(value)}"
        for key, value in optimizer.hyperparameters.items()
        if canonical(own.get(key)) != canonical(value) and (key, value) != ("scope", "lane")
    ]


def _sharpness(group: Group, optimizer: OptimizerReference | None) -> list[str]:
    """The options of a measurement at the end of the runs of a suite."""
    suite = load_suite("sharpness", kind="sharpness").settings
    (way,) = ways_to_measure(suite)
    usual = way.model_dump(mode="json") | {"of": suite.of[0]}
    sets = [
        f"{key}={_yaml(value)}"
        for key, value in {**group.shared_settings, "of": group.suite.name}.items()
        if key in SharpnessSettings.model_fields and key != "at" and canonical(usual.get(key)) != canonical(value)
    ]
    at = ["--at", group.shared_settings["at"]] if "at" in group.shared_settings else []  # it may hold a `=`
    opt = ["--opt", optimizer.label] if optimizer else []
    return [*opt, *at, *(word for each in sets for word in ("--set", each))]


def _yaml(value: Any) -> str:
    """`value` as `--set` reads it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) if not isinstance(value, str) else value
