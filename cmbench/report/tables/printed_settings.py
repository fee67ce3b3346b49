"""The paper's tables of settings, beside those that the suites and workloads have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cmbench.experiments.suite import load_suite
from cmbench.experiments.text import value_text
from cmbench.optim.registry import REGISTRY
from cmbench.report.paper.settings import BEST, GRIDS, PARAMETERS, SIZES
from cmbench.report.table import Cell, Column, Row, Table

_GRID_SUITES: Mapping[int, tuple[str, ...]] = {
    8: ("ptb", "cifar10", "cifar100", "imagenet"),
    12: ("tinyimagenet_online", "five_datasets_online"),
}
_SYMBOLS = {"lr": "learning rate", "beta1": "β₁", "beta2": "β₂", "capacity": "C", "decay": "λ", "rho": "ρ"}


def _column(key: str, title: str) -> Column[Any]:
    return Column(key, title, None, "significant", title, lambda source: Cell())


def _table(number: int, title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]], note: str) -> Table:
    """A table of texts."""
    return Table(
        suite=f"table{number}",
        kind="train",
        title=f"Table {number}",
        caption=(title,),
        settings={},
        columns=tuple(_column(name, name) for name in columns),
        rows=tuple(Row(name, tuple(Cell(notes=(text,)) for text in texts)) for name, texts in rows.items()),
        lead=len(columns),
        footnotes=(note,),
    )


def _sizes(number: int) -> Table:
    """Table 6: what each workload trains and validates on."""
    from cmbench.workloads.registry import get_workload

    rows = {}
    for name, (train, validation) in SIZES.items():
        here = get_workload(name).card.examples
        ours = [f"{count:,}" for count in here] if here else ["—", "—"]
        rows[name] = [ours[0], f"{train:,}", ours[1], f"{validation:,}"]
    note = "PTB: tokens, <eos> among them; the paper counts words"
    return _table(number, "training and validation examples", ("train", "paper", "validation", "paper "), rows, note)


def _parameters(number: int) -> Table:
    """Table 7: the models' parameters."""
    from cmbench.workloads.registry import get_workload

    rows = {}
    for name, (model, count) in PARAMETERS.items():
        card = get_workload(name).card
        rows[f"{model} ({name})"] = [f"{card.parameters:,}" if card.parameters else "—", f"{count:,}"]
    note = "the paper's 20K for PTB are the LSTM's own: 20,400 with width 50; embedding and output come on top"
    return _table(number, "parameters of the models", ("here", "paper"), rows, note)


def _grid(number: int) -> Table:
    """Tables 8 and 12: the values tried."""
    names = _GRID_SUITES[number]
    grids = {name: _separate(getattr(load_suite(name).settings, "grid", {})) for name in names}
    rows = {
        _SYMBOLS[key]: [_listed(values), *(_listed(grids[name].get(key, ())) for name in names)]
        for key, values in GRIDS[number].items()
    }
    note = "`cmbench train --suite NAME --grid` runs a suite's grid and prints its best settings"
    return _table(number, "what is searched", ("paper", *names), rows, note)


def _separate(grid: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The grid with β₁ and β₂ apart, each value once."""
    found: dict[str, list[Any]] = {}
    for key, values in grid.items():
        if key == "betas":
            found |= {f"beta{i + 1}": sorted({pair[i] for pair in values}) for i in (0, 1)}
        else:
            found[key] = list(values)
    return found


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(value_text, values)) or "—"


def _best(number: int) -> Table:
    """Tables 9, 10, 11 and 13: the settings of each suite's optimizers, and the paper's where they differ."""
    published = BEST[number]
    names = list(published)
    rows = {}
    for optimizer in dict.fromkeys(name for by_name in published.values() for name in by_name):
        texts = []
        for name in names:
            wanted = published[name].get(optimizer, {})
            own = {o.name: o.hyperparameters for o in load_suite(name).optimizers}.get(optimizer)
            here = _setting({key: own.get(key) for key in wanted}) if own else "not in the suite"
            there = _setting(wanted)
            texts.append(here if here == there else f"{here} (paper: {there})")
        rows[REGISTRY[optimizer].title] = texts
    note = "{learning rate, β₁, β₂, C, λ, ρ} as far as the paper gives them; the paper's own where a suite departs"
    return _table(number, "best settings, which the suites have", names, rows, note)


def _setting(values: Mapping[str, Any]) -> str:
    flat = [part for value in values.values() for part in (value if isinstance(value, (tuple, list)) else (value,))]
    return f"{{{', '.join(map(value_text, flat))}}}"


PRINTED_SETTINGS: Mapping[int, Callable[[int], Table]] = {
    6: _sizes,
    7: _parameters,
    8: _grid,
    9: _best,
    10: _best,
    11: _best,
    12: _grid,
    13: _best,
}
"""What makes each of these tables."""
