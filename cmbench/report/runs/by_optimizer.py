"""The runs of one table by optimizer: a row each, in which order and under which title."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cmbench.experiments.result import OptimizerReference
from cmbench.experiments.text import canonical, value_text
from cmbench.optim.registry import REGISTRY
from cmbench.report.captions import optimizer_text
from cmbench.report.runs.groups import Group
from cmbench.report.runs.run import Run, label_of


@dataclass(frozen=True)
class OptimizerRuns:
    """The runs of one optimizer with one set of hyperparameters and one code, under the title of their row."""

    title: str
    optimizer: OptimizerReference
    runs: tuple[Run, ...]


def runs_by_optimizer(group: Group) -> list[OptimizerRuns]:
    """A row for each optimizer of `group`: the suite's order, else the registry's; variants side by side."""
    rows: dict[str, list[tuple[OptimizerReference, Run]]] = {}
    for run in group.runs:
        if run.optimizer:
            one = run.optimizer
            key = canonical([one.label, one.name, one.hyperparameters, one.source])
            rows.setdefault(key, []).append((run.optimizer, run))
    labels = _ordered_labels(group)
    optimizers = {key: members[0][0] for key, members in rows.items()}
    by_place = sorted(rows, key=lambda key: labels.index(optimizers[key].label))
    variants: dict[str, list[OptimizerReference]] = {}
    for key in by_place:
        variants.setdefault(optimizers[key].label, []).append(optimizers[key])
    return [
        OptimizerRuns(
            _title(optimizers[key], variants[optimizers[key].label]),
            optimizers[key],
            tuple(run for _, run in rows[key]),
        )
        for key in by_place
    ]


def _ordered_labels(group: Group) -> list[str]:
    suite = group.suite
    order = [optimizer.label for optimizer in suite.suite.optimizers] if suite.suite else []
    order += [label_of(spec.optimizer) for spec in suite.expected]
    registry = list(REGISTRY)
    others = sorted(
        (run.optimizer for run in group.runs if run.optimizer),
        key=lambda o: (registry.index(o.name) if o.name in REGISTRY else len(registry), _by_number(o.label)),
    )
    return list(dict.fromkeys(order + [optimizer.label for optimizer in others]))


def _by_number(label: str) -> list[tuple[float, str]]:
    """A key that orders labels with numbers by size: `C=5` before `C=20`."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", label)
    return [(float(part), "") if i % 2 else (-1.0, part) for i, part in enumerate(parts)]


def _title(optimizer: OptimizerReference, variants: Sequence[OptimizerReference]) -> str:
    """`Adam+CM`, `Adam+CM C=20` (label `adam_cm C=20`), `Adam lr=0.01` (a label with several settings)."""
    title = optimizer_text(optimizer)
    if len(variants) > 1:
        mine = {"name": optimizer.name, **optimizer.hyperparameters}
        others = [{"name": v.name, **v.hyperparameters} for v in variants]
        varying = [k for k, v in mine.items() if any(canonical(o.get(k)) != canonical(v) for o in others)]
        title = " ".join([title, *(f"{k}={value_text(mine[k])}" for k in varying if k != "name")])
        if any(v.source != optimizer.source for v in variants):
            title += f" ({_short(optimizer.source)})"
    return title


def _short(source: str | None) -> str:
    """`torch 2.9.0, code 1f2e3d4c`: what stands for an optimizer's code, its hashes as far as a person reads them."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"code \1", source or "registered")
