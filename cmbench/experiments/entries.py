"""The optimizers of a suite: what its file and the command line say of them, checked as far as names alone allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmbench.errors import UserError, unknown
from cmbench.experiments.files import folder_name
from cmbench.experiments.sweep.axes import Axis
from cmbench.experiments.sweep.checks import checked_space
from cmbench.experiments.text import printable
from cmbench.optim.hyperparameters import Hyperparameter
from cmbench.optim.memories import MEMORIES
from cmbench.optim.registry import HYPERPARAMETERS, PROBES, REGISTRY, get_info
from cmbench.optim.rules.base import Part
from cmbench.plugins.resolve import FORMS, beside, entry_points, is_outside

Entries = dict[str, dict[str, Any]]
"""An optimizer's name and hyperparameters, by label."""
COMPOSITION = ("probe", "memory", "rest", "create_graph")
"""What `--set` gives every optimizer that is not registered, besides its hyperparameters."""


@dataclass(frozen=True)
class Wish:
    """A hyperparameter that `--set` gives whichever optimizer has it; `needed` where no registered one does."""

    name: str
    value: Any
    assignment: str
    needed: bool


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer of a suite: its label there, its name, its hyperparameters, and the grid and space of its own.

    Those of a registered optimizer are all there. One that is not registered is `open` until it has been imported: its
    hyperparameters are those given, `wishes` those that it may have; then `source` stands for its code.
    """

    label: str
    name: str
    hyperparameters: dict[str, Any]
    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    source: str | None = None
    open: bool = False
    wishes: tuple[Wish, ...] = ()
    space: dict[str, Axis] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The entry as it stands in a suite's file."""
        entry = ({} if self.name == self.label else {"name": self.name}) | self.hyperparameters
        space = {name: axis.document() for name, axis in self.space.items()}
        return entry | ({"grid": self.grid} if self.grid else {}) | ({"space": space} if space else {})


def entries_of(optimizers: Any, where: str) -> Entries:
    """What stands under `optimizers` in a suite's file, by label."""
    if not isinstance(optimizers, dict):
        raise UserError(f"{where}: optimizers: {optimizers!r}: accepted: a mapping of labels to hyperparameters")
    entries = {}
    for label, entry in optimizers.items():
        if entry is not None and not isinstance(entry, dict):
            raise UserError(f"{where}: optimizers.{label}: {entry!r}: accepted: a mapping of hyperparameters")
        if printable(str(label)) != str(label):
            raise UserError(f"{where}: optimizers: {label!r}: accepted: a label of one line that can be printed")
        entries[str(label)] = spelled = _spelled_out({"name": str(label)} | (entry or {}))
        if not isinstance(spelled["name"], str):
            raise UserError(f"{where}: optimizers.{label}.name: {spelled['name']!r}: accepted: a name")
    return entries


def _spelled_out(entry: dict[str, Any]) -> dict[str, Any]:
    """`module:NAME+sam+cg` as that name with a probe and a memory; raises `UserError` for other parts, and for two."""
    name, *parts = str(entry["name"]).split("+")
    if ":" not in name or not parts:
        return entry
    keys = {**dict.fromkeys(PROBES, "probe"), **dict.fromkeys(MEMORIES, "memory")}
    found: dict[str, str] = {}
    for part in parts:
        if part not in keys:
            raise unknown("part", part, keys, f"optimizer '{entry['name']}'")
        if (key := keys[part]) in found:
            raise UserError(f"optimizer '{entry['name']}': accepted: one {key}, not {found[key]} and {part}")
        found[key] = part
    return entry | {"name": name} | found


def choose(entries: Entries, opts: Sequence[str], where: str) -> Entries:
    """The entries that `--opt` picks: by label, else by name, else one of that name with its defaults."""
    if not opts:
        return entries
    chosen = {}
    for opt in opts:
        if opt in entries:
            chosen[opt] = entries[opt]
        elif named := {label: entry for label, entry in entries.items() if entry["name"] == opt}:
            chosen |= named
        elif opt in REGISTRY or is_outside(opt, "optimizers"):
            chosen[opt] = _spelled_out({"name": opt})
        else:
            known = dict.fromkeys([*entries, *REGISTRY, *entry_points("optimizers"), *FORMS])
            raise unknown("optimizer", opt, known, f"--opt (suite {where})")
    return chosen


def check_folders(labels: Iterable[str], where: str) -> None:
    """Raises `UserError` unless every label has a folder of its own for its results."""
    folders: dict[str, str] = {}
    for label in labels:
        other = folders.setdefault(folder_name(label), label)
        if other != label:
            raise UserError(
                f"{where}: optimizers.{label}: its results would share the folder '{folder_name(label)}' with those of "
                f"'{other}': accepted: labels that differ in letters or digits"
            )


def give_all(entries: Entries, key: str, value: Any, assignment: str) -> tuple[Wish, ...]:
    """Gives `--set KEY=VALUE` to every optimizer that has such a hyperparameter; what the others may still have.

    Raises `UserError` where none of them can have it.
    """
    outside = [label for label, entry in entries.items() if entry["name"] not in REGISTRY]
    having = [label for label, entry in entries.items() if _has(str(entry["name"]), key)]
    if key in COMPOSITION:
        having = outside if key in ("rest", "create_graph") else list(entries)
    for label in having:
        entries[label][key] = value
    if key in COMPOSITION and having:
        return ()
    if not having and not outside:
        raise UserError(f"--set {assignment}: no chosen optimizer has '{key}' ({', '.join(entries)})")
    return (Wish(key, value, assignment, needed=not having),) if outside else ()


def _has(name: str, hyperparameter: str) -> bool:
    return name in REGISTRY and hyperparameter in REGISTRY[name].defaults


def is_wish(entries: Entries, key: str) -> bool:
    """Whether `key` may be a hyperparameter of one of the optimizers."""
    outside = any(entry["name"] not in REGISTRY for entry in entries.values())
    return key in HYPERPARAMETERS or key in COMPOSITION or (outside and key.isidentifier())


def checked_grid(
    grid: Any,
    where: str,
    origin: Mapping[str, str],
    key: str = "grid",
    known: Mapping[str, Hyperparameter] | None = None,
) -> dict[str, tuple[Any, ...]]:
    """The values to try of each hyperparameter; those that are `known`, all where it is None, validated."""
    if not isinstance(grid, dict):
        raise UserError(f"{where}: {key}: {grid!r}: accepted: a mapping of hyperparameters to lists of values")
    checked = {}
    for name, values in grid.items():
        source = next((f" (from {origin[each]})" for each in (f"{key}.{name}", key) if each in origin), "")
        hyperparameter, place = (known or {}).get(name), f"{where}: {key}.{name}"
        if known is not None and hyperparameter is None:
            raise unknown("hyperparameter", name, known, f"{where}: {key}{source}")
        each = f", each {hyperparameter.accepts}" if hyperparameter else ""
        if not isinstance(values, list) or not values:
            raise UserError(f"{place}: {values!r}{source}: accepted: a list of values{each}")
        try:
            checked[str(name)] = tuple(
                hyperparameter.validated(value)
                if hyperparameter
                else tuple(value)
                if isinstance(value, list)
                else value
                for value in values
            )
        except ValueError as error:
            raise UserError(f"{place}: {error}{source}") from None
        if len(set(map(repr, checked[str(name)]))) < len(values):
            raise UserError(f"{place}: {values!r}{source}: a value is given twice; accepted: different values")
    return checked


def resolved(
    label: str,
    entry: dict[str, Any],
    where: str,
    origin: Mapping[str, str],
    wishes: Sequence[Wish],
    folder: Path | None,
) -> OptimizerSpec:
    """The optimizer of an entry, its hyperparameters validated where it is registered.

    `folder` is that of a suite's file, beside which a user's own file may lie.
    """
    name, place = str(entry["name"]), f"{where}: optimizers.{label}"
    given = {str(key): value for key, value in entry.items() if key not in ("name", "grid", "space")}
    outside = name not in REGISTRY and is_outside(name, "optimizers")
    try:
        info = None if outside else get_info(_composed(name, given))
        known = info.hyperparameters if info else None
        tried = f"optimizers.{label}."
        grid = checked_grid(entry["grid"], where, origin, tried + "grid", known) if "grid" in entry else {}
        space = checked_space(entry["space"], where, origin, tried + "space", known) if "space" in entry else {}
        if info:
            return OptimizerSpec(label, info.name, info.resolve(given), grid, space=space)
        pairs = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
        found = beside(name, folder) if folder else name
        return OptimizerSpec(label, found, pairs, grid, open=True, wishes=tuple(wishes), space=space)
    except ValueError as error:
        source = "".join(
            f" (from {text})" for key, text in origin.items() if key.rpartition(".")[2] in str(error).partition(":")[0]
        )
        more = f", {', '.join(FORMS)}" if name not in REGISTRY else ""
        raise UserError(f"{place}: {error}{more}{source}") from None


def _composed(name: str, given: dict[str, Any]) -> str:
    """The registered name of a rule with the probe and the memory in `given`, which are taken out of it."""
    if name not in REGISTRY:
        return name
    info = REGISTRY[name]
    parts: dict[str, Mapping[str, Part]] = {"probe": PROBES, "memory": MEMORIES}
    keys = {"probe": info.probe.key if info.probe else None, "memory": info.memory.key if info.memory else None}
    for key, known in parts.items():
        if key not in given:
            continue
        wanted = given.pop(key)
        if wanted not in known:
            raise ValueError(f"invalid {key}: {wanted!r} (accepted: {', '.join(known)})")
        if keys[key] not in (None, wanted):
            raise ValueError(f"invalid {key}: {wanted!r} ({name} has {keys[key]})")
        keys[key] = str(wanted)
    return "_".join(part for part in (info.rule.key, keys["probe"], keys["memory"]) if part)
