"""From a YAML file and the command line's overrides to one validated, frozen suite."""

from __future__ import annotations

import copy
import hashlib
import importlib.resources
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, overload

from pydantic import ValidationError
from typing_extensions import TypeVar

from cmbench.errors import UserError, suggest, unknown
from cmbench.experiments import yaml
from cmbench.experiments.files import folder_name
from cmbench.experiments.kinds import Kind
from cmbench.experiments.settings import (
    SUITE_TYPES,
    ConvergenceSuite,
    EscapeSuite,
    SharpnessSuite,
    Suite,
    ToySuite,
    TrainSuite,
)
from cmbench.experiments.workload_options import joined_workload, split_workload
from cmbench.optim.registry import HYPERPARAMETERS, REGISTRY, get_info

Settings = TypeVar("Settings", bound=Suite, covariant=True, default=Suite)
_Entries = dict[str, dict[str, Any]]
"""An optimizer's name and hyperparameters, by label."""


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer of a suite: its label there, its registry name, all of its hyperparameters."""

    label: str
    name: str
    hyperparameters: dict[str, Any]


@dataclass(frozen=True)
class ResolvedSuite(Generic[Settings]):
    """A suite ready to be planned: its settings and its chosen optimizers, every value filled in.

    The settings are those of its kind: a training suite is a `ResolvedSuite[TrainSuite]`. Its seeds are
    `settings.seeds` numbers from `first_seed` on.
    """

    name: str
    sha256: str
    settings: Settings
    optimizers: tuple[OptimizerSpec, ...]
    first_seed: int = 0

    def document(self) -> dict[str, Any]:
        """The suite with every value filled in, as it stands in its file."""
        document = self.settings.model_dump(mode="json", exclude={"optimizers"}, exclude_none=True)
        joined_workload(document)
        for key in ("grid", "notes"):
            if not document.get(key):
                document.pop(key, None)
        if self.optimizers:
            document["optimizers"] = {
                spec.label: ({} if spec.name == spec.label else {"name": spec.name}) | spec.hyperparameters
                for spec in self.optimizers
            }
        return document

    def as_yaml(self) -> str:
        """The suite as a file that resolves to itself."""
        return yaml.dump(self.document())


def builtin_folder() -> Path:
    """The folder of the suites that ship with cmbench: inside the installed package, or beside it in a checkout."""
    installed = Path(str(importlib.resources.files("cmbench"))) / "suites"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "suites"


def builtin_suites() -> dict[str, Path]:
    """Every suite that ships with cmbench, by name."""
    return {path.stem: path for path in sorted(builtin_folder().glob("*.yaml"))}


def is_file_name(name_or_file: str) -> bool:
    """Whether a suite is given by its file, and not by its name."""
    return name_or_file.endswith((".yaml", ".yml")) or "/" in name_or_file or "\\" in name_or_file


def read_suite(name_or_file: str) -> tuple[str, Path, dict[str, Any]]:
    """Name, path and raw content of a suite file or of a built-in suite, by its name or its place in the paper."""
    if is_file_name(name_or_file):
        path = Path(name_or_file)
        if not path.is_file():
            raise UserError(f"--suite {name_or_file}: no such file")
    else:
        suites = builtin_suites()
        name = next(iter(named(name_or_file)))
        if name not in suites:
            raise unknown("suite", name_or_file, suites, "--suite")
        path = suites[name]
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    content = yaml.parse(text, path.name)
    if not isinstance(content, dict):
        raise UserError(f"{path.name}: a suite is a mapping of keys to values, not {type(content).__name__}")
    return path.stem, path, content


def suites_of(place: str) -> list[str]:
    """Every suite that a place in the paper is about, written `figure6`, `figure7_left` or `table2`."""
    match = re.fullmatch(r"(figure|table)_?(\d+)(?:_(\w+))?", place)
    if match is None:
        return []
    kind, number, column = match.groups()
    found = []
    for name, path in builtin_suites().items():
        paper = (yaml.parse(path.read_text(), path.name) or {}).get("paper") or {}
        here = paper.get(kind) == int(number) and column in (None, paper.get("column"))
        if here or f"{kind}{number}" in paper.get("also", ()):
            found.append(name)
    return found


def named(name_or_file: str, kind: Kind | None = None) -> list[str]:
    """The suites that are meant: the one of that name or file, else all of a place in the paper (`table2`), else all
    called `NAME_…`, of `kind` where it is given.
    """
    if is_file_name(name_or_file) or name_or_file in (suites := builtin_suites()):
        return [name_or_file]
    family = [name for name in suites if name.startswith(f"{name_or_file}_")]
    of_kind = [name for name in family if kind in (None, read_suite(name)[2].get("kind"))]
    return suites_of(name_or_file) or of_kind or [name_or_file]


@overload
def load_suite(
    name_or_file: str, *, kind: Literal["train"], opts: Sequence[str] = (), sets: Sequence[str] = ()
) -> ResolvedSuite[TrainSuite]: ...
@overload
def load_suite(
    name_or_file: str, *, kind: Literal["toy"], opts: Sequence[str] = (), sets: Sequence[str] = ()
) -> ResolvedSuite[ToySuite]: ...
@overload
def load_suite(
    name_or_file: str, *, kind: Literal["escape-ratio"], opts: Sequence[str] = (), sets: Sequence[str] = ()
) -> ResolvedSuite[EscapeSuite]: ...
@overload
def load_suite(
    name_or_file: str, *, kind: Literal["sharpness"], opts: Sequence[str] = (), sets: Sequence[str] = ()
) -> ResolvedSuite[SharpnessSuite]: ...
@overload
def load_suite(
    name_or_file: str, *, kind: Literal["convergence"], opts: Sequence[str] = (), sets: Sequence[str] = ()
) -> ResolvedSuite[ConvergenceSuite]: ...
@overload
def load_suite(
    name_or_file: str, *, kind: None = None, opts: Sequence[str] = (), sets: Sequence[str] = ()
) -> ResolvedSuite[Suite]: ...
def load_suite(
    name_or_file: str, *, kind: Kind | None = None, opts: Sequence[str] = (), sets: Sequence[str] = ()
) -> ResolvedSuite[Suite]:
    """The suite with `--opt` and `--set` applied, validated as a whole.

    Raises `UserError` naming file, key, value and what is accepted. `kind` is the kind that the command runs.
    """
    name, path, content = read_suite(name_or_file)
    content = copy.deepcopy(content)
    where = path.name
    suite_type = SUITE_TYPES.get(str(content.get("kind")))
    if suite_type is None:
        raise unknown("kind", str(content.get("kind")), SUITE_TYPES, where)
    if kind is not None and content["kind"] != kind:
        raise UserError(f"{where}: kind: this command runs '{kind}' suites, this one is '{content['kind']}'")

    content["optimizers"] = _choose(_entries(content.get("optimizers") or {}, where), opts, where)
    origin = {}
    for assignment in sets:
        origin[_override(content, assignment, suite_type.model_fields, where)] = f"--set {assignment}"

    if "workload" in suite_type.model_fields:
        split_workload(content, where, origin)
    if "grid" in suite_type.model_fields and content.get("grid") is not None:
        content["grid"] = _grid(content["grid"], where, origin)
    try:
        settings = suite_type.model_validate(content)
    except ValidationError as error:
        raise UserError(_explain(error, where, suite_type, origin)) from None
    _check_folders(content["optimizers"], where)
    optimizers = tuple(_resolve(label, entry, where, origin) for label, entry in content["optimizers"].items())
    needs_optimizers = content["kind"] in ("train", "toy", "escape-ratio")
    if needs_optimizers and not optimizers:
        raise UserError(f"{where}: optimizers: at least one is needed (in the file, or with --opt)")
    if not needs_optimizers and optimizers and content["kind"] == "convergence":
        raise UserError(f"{where}: optimizers: a '{content['kind']}' suite has none")
    return ResolvedSuite(name, hashlib.sha256(path.read_bytes()).hexdigest(), settings, optimizers)


def _entries(optimizers: Any, where: str) -> _Entries:
    if not isinstance(optimizers, dict):
        raise UserError(f"{where}: optimizers: {optimizers!r}: accepted: a mapping of labels to hyperparameters")
    entries = {}
    for label, entry in optimizers.items():
        if entry is not None and not isinstance(entry, dict):
            raise UserError(f"{where}: optimizers.{label}: {entry!r}: accepted: a mapping of hyperparameters")
        entries[str(label)] = {"name": str(label)} | (entry or {})
    return entries


def _check_folders(labels: Iterable[str], where: str) -> None:
    """Every label has a folder of its own for its results."""
    folders: dict[str, str] = {}
    for label in labels:
        other = folders.setdefault(folder_name(label), label)
        if other != label:
            raise UserError(
                f"{where}: optimizers.{label}: its results would share the folder '{folder_name(label)}' with those of "
                f"'{other}': accepted: labels that differ in letters or digits"
            )


def _choose(entries: _Entries, opts: Sequence[str], where: str) -> _Entries:
    """The entries that `--opt` picks: by label, else by name, else the registry's defaults under that name."""
    if not opts:
        return entries
    chosen = {}
    for opt in opts:
        if opt in entries:
            chosen[opt] = entries[opt]
        elif named := {label: entry for label, entry in entries.items() if entry["name"] == opt}:
            chosen |= named
        elif opt in REGISTRY:
            chosen[opt] = {"name": opt}
        else:
            raise unknown("optimizer", opt, dict.fromkeys([*entries, *REGISTRY]), f"--opt (suite {where})")
    return chosen


def _override(content: dict[str, Any], assignment: str, fields: Any, where: str) -> str:
    """Applies one `--set key=value` to `content`; returns the dotted key it went to."""
    # A label may itself hold '=' and '.', so both are looked for from the right.
    key, equals, text = assignment.rpartition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {assignment}: accepted: key=value")
    key, value = key.strip(), yaml.parse(text, f"--set {assignment}")
    if key.startswith("optimizers."):
        label, _, hyperparameter = key.removeprefix("optimizers.").rpartition(".")
        if label not in content["optimizers"]:
            raise unknown("optimizer", label, content["optimizers"], f"--set {assignment}")
        content["optimizers"][label][hyperparameter] = value
        return key
    first, *rest = key.split(".")
    if first in fields:
        target = content
        for part in (first, *rest)[:-1]:
            inner = target.get(part)
            if isinstance(inner, str):  # the short form of a schedule or a workload
                inner = {"name": inner}
            elif isinstance(inner, float):  # that of an average
                inner = {"decay": inner}
            target[part] = inner = {} if inner is None else dict(inner)
            target = inner
        target[rest[-1] if rest else first] = value
        return key
    if key in HYPERPARAMETERS:
        having = [label for label, entry in content["optimizers"].items() if _has(entry["name"], key)]
        if not having:
            raise UserError(f"--set {assignment}: no chosen optimizer has '{key}' ({', '.join(content['optimizers'])})")
        for label in having:
            content["optimizers"][label][key] = value
        return key
    accepted = [name for name in fields if name not in ("kind", "optimizers")] + list(HYPERPARAMETERS)
    raise unknown("key", key, accepted, f"--set {assignment} (suite {where})")


def _grid(grid: Any, where: str, origin: dict[str, str]) -> dict[str, tuple[Any, ...]]:
    """The values to try of each hyperparameter, all validated."""
    if not isinstance(grid, dict):
        raise UserError(f"{where}: grid: {grid!r}: accepted: a mapping of hyperparameters to lists of values")
    checked = {}
    for name, values in grid.items():
        source = next((f" (from {origin[key]})" for key in (f"grid.{name}", "grid") if key in origin), "")
        if name not in HYPERPARAMETERS:
            raise unknown("hyperparameter", name, HYPERPARAMETERS, f"{where}: grid{source}")
        hyperparameter, place = HYPERPARAMETERS[name], f"{where}: grid.{name}"
        if not isinstance(values, list) or not values:
            raise UserError(f"{place}: {values!r}{source}: accepted: a list of values, each {hyperparameter.accepts}")
        try:
            checked[name] = tuple(hyperparameter.validated(value) for value in values)
        except ValueError as error:
            raise UserError(f"{place}: {error}{source}") from None
        if len(set(checked[name])) < len(values):
            raise UserError(f"{place}: {values!r}{source}: a value is given twice; accepted: different values")
    return checked


def _has(name: str, hyperparameter: str) -> bool:
    return name in REGISTRY and hyperparameter in REGISTRY[name].defaults


def _resolve(label: str, entry: dict[str, Any], where: str, origin: dict[str, str]) -> OptimizerSpec:
    hyperparameters = {key: value for key, value in entry.items() if key != "name"}
    try:
        info = get_info(entry["name"])
        return OptimizerSpec(label, info.name, info.resolve(hyperparameters))
    except ValueError as error:
        source = "".join(
            f" (from {text})" for key, text in origin.items() if key.rpartition(".")[2] in str(error).partition(":")[0]
        )
        raise UserError(f"{where}: optimizers.{label}: {error}{source}") from None


def _explain(error: ValidationError, where: str, suite_type: type, origin: dict[str, str]) -> str:
    """One line per problem: file, key, value, what is accepted, and a suggestion for a misspelled key."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        place = f"{where}: {key}" if key else where
        source = f" (from {origin[key]})" if key in origin else ""
        if problem["type"] == "extra_forbidden":
            fields = _fields_at(suite_type, problem["loc"][:-1])
            hint = suggest(str(problem["loc"][-1]), fields)
            lines.append(f"{place}: unknown key{source}: {hint}accepted: {', '.join(fields)}")
        elif problem["type"] == "missing":
            lines.append(f"{place}: missing")
        else:
            message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "accepted:")
            value = f" {problem['input']!r}" if key else ""
            lines.append(f"{place}:{value}{source}: {message}")
    return "\n".join(lines)


def _fields_at(model: Any, loc: tuple[int | str, ...]) -> list[str]:
    for part in loc:
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next(c for c in candidates if hasattr(c, "model_fields"))
    return [name for name in model.model_fields if name != "kind"]
