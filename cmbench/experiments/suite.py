"""From a YAML file and the command line's overrides to one validated, frozen suite."""

from __future__ import annotations

import copy
import hashlib
import importlib.resources
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, overload

from pydantic import ValidationError
from typing_extensions import TypeVar

from cmbench.errors import UserError, suggest, unknown
from cmbench.experiments import yaml
from cmbench.experiments.dotted import put
from cmbench.experiments.entries import (
    OptimizerSpec,
    Wish,
    check_folders,
    checked_grid,
    choose,
    entries_of,
    give_all,
    is_wish,
    resolved,
)
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
from cmbench.experiments.sweep.checks import check_settings, checked_space
from cmbench.experiments.text import printable
from cmbench.experiments.workload_options import joined_workload, split_workload
from cmbench.optim.registry import HYPERPARAMETERS, REGISTRY
from cmbench.plugins.resolve import beside

Settings = TypeVar("Settings", bound=Suite, covariant=True, default=Suite)


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
        for key in ("grid", "space", "notes"):
            if not document.get(key):
                document.pop(key, None)
        if self.optimizers:
            document["optimizers"] = {spec.label: spec.document() for spec in self.optimizers}
        return document

    def as_yaml(self) -> str:
        """The suite as a file that resolves to itself."""
        return yaml.dump(self.document())


def builtin_folder() -> Path:
    """The folder of the suites that ship with cmbench: inside the installed package, or beside it in a checkout."""
    installed = Path(str(importlib.resources.files("cmbench"))) / "suites"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "suites"


@cache
def builtin_suites() -> Mapping[str, Path]:
    """Every suite that ships with cmbench, by name."""
    return MappingProxyType({path.stem: path for path in sorted(builtin_folder().glob("*.yaml"))})


def is_file_name(name_or_file: str) -> bool:
    """Whether a suite is given by its file, and not by its name."""
    return name_or_file.endswith((".yaml", ".yml")) or "/" in name_or_file or "\\" in name_or_file


def read_suite(name_or_file: str) -> tuple[str, Path, dict[str, Any]]:
    """Name, path and raw content of a suite file or of a built-in suite, by its name or its place in the paper."""
    if is_file_name(name_or_file):
        path = Path(name_or_file)
        if not os.path.isfile(path):
            raise UserError(f"--suite {name_or_file}: no such file")
    else:
        suites = builtin_suites()
        name = next(iter(named(name_or_file)))
        if name not in suites:
            raise unknown("suite", name_or_file, suites, "--suite")
        path = suites[name]
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    if printable(path.name) != path.name:
        raise UserError(f"--suite {name_or_file}: accepted: a name of letters, digits and signs that can be printed")
    content = copy.deepcopy(_parsed(text, path.name))
    if not isinstance(content, dict):
        raise UserError(f"{path.name}: a suite is a mapping of keys to values, not {type(content).__name__}")
    return path.stem, path, content


@lru_cache(256)
def _parsed(text: str, where: str) -> Any:
    """What the text of a suite holds: a report asks for the same few suites thousands of times."""
    return yaml.parse(text, where)


def suites_of(place: str) -> list[str]:
    """Every suite that a place in the paper is about, written `figure6`, `figure7_left` or `table2`."""
    match = re.fullmatch(r"(figure|table)_?(\d+)(?:_(\w+))?", place)
    if match is None:
        return []
    kind, number, column = match.groups()
    found = []
    for name, path in builtin_suites().items():
        paper = (_parsed(path.read_text(encoding="utf-8"), path.name) or {}).get("paper") or {}
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

    entries = content["optimizers"] = choose(entries_of(content.get("optimizers") or {}, where), opts, where)
    origin: dict[str, str] = {}
    wishes: list[Wish] = []
    for assignment in sets:
        key, wished = _override(content, assignment, suite_type.model_fields, where)
        origin[key] = f"--set {assignment}"
        wishes += wished

    if "workload" in suite_type.model_fields:
        split_workload(content, where, origin)
    folder = path.parent if is_file_name(name_or_file) else None
    if folder:
        _find_beside(content, folder)
    every = HYPERPARAMETERS if all(entry["name"] in REGISTRY for entry in entries.values()) else None
    if "grid" in suite_type.model_fields and content.get("grid") is not None:
        content["grid"] = checked_grid(content["grid"], where, origin, known=every)
    if "space" in suite_type.model_fields and content.get("space") is not None:
        content["space"] = checked_space(content["space"], where, origin, known=every)
    try:
        settings = suite_type.model_validate(content)
    except ValidationError as error:
        raise UserError(_explain(error, where, suite_type, origin)) from None
    check_folders(entries, where)
    optimizers = tuple(resolved(label, entry, where, origin, wishes, folder) for label, entry in entries.items())
    if isinstance(settings, TrainSuite):
        check_settings(settings.space, settings, f"{where}: space", origin)
        for spec in optimizers:
            check_settings(spec.space, settings, f"{where}: optimizers.{spec.label}.space", {})
    needs_optimizers = content["kind"] in ("train", "toy", "escape-ratio")
    if needs_optimizers and not optimizers:
        raise UserError(f"{where}: optimizers: at least one is needed (in the file, or with --opt)")
    if not needs_optimizers and optimizers and content["kind"] == "convergence":
        raise UserError(f"{where}: optimizers: a '{content['kind']}' suite has none")
    return ResolvedSuite(name, hashlib.sha256(path.read_bytes()).hexdigest(), settings, optimizers)


def _find_beside(content: dict[str, Any], folder: Path) -> None:
    """Files that workload and surfaces name are looked for in the current folder, then in the suite's own."""
    for key in ("workload", "surface"):
        if isinstance(content.get(key), str):
            content[key] = beside(content[key], folder)
    if isinstance(content.get("surfaces"), dict):
        content["surfaces"] = {beside(str(name), folder): domain for name, domain in content["surfaces"].items()}


def _override(content: dict[str, Any], assignment: str, fields: Any, where: str) -> tuple[str, tuple[Wish, ...]]:
    """Applies one `--set key=value` to `content`; the dotted key it went to, and what optimizers may take of it."""
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
        return key, ()
    if key.partition(".")[0] in fields:
        put(content, key, value)
        return key, ()
    if is_wish(content["optimizers"], key):
        return key, give_all(content["optimizers"], key, value, assignment)
    accepted = [name for name in fields if name not in ("kind", "optimizers")] + list(HYPERPARAMETERS)
    raise unknown("key", key, accepted, f"--set {assignment} (suite {where})")


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
            message = problem["msg"].removeprefix("Value error, ").removesuffix(" after validation, not 0")
            message = message.replace("Input should be", "accepted:").replace("Tuple should have", "accepted:")
            value = f": {problem['input']!r}" if key else ""
            lines.append(f"{place}{value}{source}: {message}")
    return "\n".join(lines)


def _fields_at(model: Any, loc: tuple[int | str, ...]) -> list[str]:
    for part in loc:
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next(c for c in candidates if hasattr(c, "model_fields"))
    return [name for name in model.model_fields if name != "kind"]
