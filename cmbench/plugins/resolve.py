"""The one resolver of optimizers, workloads and surfaces that somebody else has written."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TextIO, TypeVar

from cmbench.errors import UserError, suggest

Group = Literal["optimizers", "workloads", "surfaces", "schedulers"]
Value = TypeVar("Value")
FORMS = ("package.module:NAME", "./FILE.py:NAME")
"""How a name outside of cmbench is written, unless a package registers it."""


@dataclass(frozen=True)
class Found:
    """What a name stands for, and what stands for its code: a distribution with its version, or a file's SHA-256."""

    value: Any
    source: str


def entry_points(group: Group) -> dict[str, str]:
    """The names that installed packages register under `cmbench.GROUP`, with what they stand for."""
    return dict(_entry_points(group))


@cache
def _entry_points(group: Group) -> tuple[tuple[str, str], ...]:
    found = importlib.metadata.entry_points(group=f"cmbench.{group}")
    return tuple(sorted((entry.name, entry.value) for entry in found))


def is_path(name: str) -> bool:
    """Whether `name` is written as `module:NAME` or `FILE.py:NAME`."""
    place, colon, attribute = name.rpartition(":")
    return bool(place and colon and attribute)


def is_outside(name: str, group: Group) -> bool:
    """Whether `name` is one that `find` looks for: a path, or registered by an installed package."""
    return is_path(name) or name in entry_points(group)


def attribute_of(name: str) -> str:
    """The last part of a path, `NAdam` of `torch.optim:NAdam`; any other name is its own."""
    return name.rpartition(":")[2].rpartition(".")[2]


def identity_of(name: str) -> str:
    """`name` without the folder of its file: the same code is the same wherever it lies."""
    place, colon, attribute = name.rpartition(":")
    return f"{Path(place).name}:{attribute}" if colon and _is_file(place) else name


def beside(name: str, folder: Path) -> str:
    """`./FILE.py:NAME` as found in `folder`, where the current one has no such file; other names as they are."""
    place, _, attribute = name.rpartition(":")
    if not _is_file(place) or Path(place).exists() or not (folder / place).exists():
        return name
    return f"{os.path.relpath(folder / place)}:{attribute}"


def find(name: str, group: Group, where: str) -> Found:
    """Imports what `name` stands for.

    Modules and files are looked for from the current folder, too. Raises `UserError` that begins with `where` when the
    module raises, exits, or lacks the name. What it prints is shown on stderr.
    """
    place, _, attribute = entry_points(group).get(name, name).rpartition(":")
    printed = io.StringIO()
    try:
        with guarded(f"{where}: '{name}' cannot be imported", printed):
            module = _file(place) if _is_file(place) else _module(place)
    finally:
        if text := printed.getvalue().strip():
            print(f"'{name}' prints when it is imported: {text}", file=sys.stderr)
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            public = [each for each in dir(value) if not each.startswith("_")]
            hint = suggest(part, public)
            raise UserError(f"{where}: '{name}': '{place}' has no '{part}': {hint}accepted: one of its names")
        value = getattr(value, part)
    return Found(value, _source(module))


@contextmanager
def guarded(what: str, printed: TextIO | None = None) -> Iterator[None]:
    """Runs somebody else's code: what it raises, an exit as well, is a `UserError` that begins with `what`.

    What it prints goes to `printed`, by default stderr: stdout belongs to tables and JSON.
    """
    try:
        with redirect_stdout(printed or sys.stderr):
            yield
    except (KeyboardInterrupt, UserError):
        raise
    except SystemExit as end:
        raise UserError(f"{what}: it ends the process (SystemExit: {end.code})") from None
    except Exception as error:
        raise UserError(f"{what}: {type(error).__name__}: {error}") from None


def call(what: str, function: Callable[[], Value]) -> Value:
    """What `function` returns, `guarded`."""
    with guarded(what):
        return function()


def _is_file(place: str) -> bool:
    return place.endswith(".py")


def _module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _file(place: str) -> ModuleType:
    """The module in a file, run once; its folder comes last on the path, so that it finds what lies beside it."""
    path = Path(place).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {place}")
    content = hashlib.sha256(str(path).encode() + path.read_bytes())
    name = f"cmbench_file_{path.stem}_{content.hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is no Python file")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _source(module: ModuleType) -> str:
    """`torch 2.9.0` for what is installed, `NAME VERSION, SHA-256` for what is installed from a checkout, a SHA-256."""
    top, file = module.__name__.partition(".")[0], getattr(module, "__file__", None)
    code = Path(file).resolve() if file else None
    sha = hashlib.sha256(code.read_bytes()).hexdigest() if code else ""
    distribution = None if top.startswith("cmbench_file_") else _distribution(top)
    if distribution is None:
        return sha or f"python {sys.version_info.major}.{sys.version_info.minor}"
    version = f"{distribution.metadata['Name']} {distribution.version}"
    installed = Path(str(distribution.locate_file(""))).resolve()
    return version if code is None or installed in code.parents else f"{version}, {sha}"


def _distribution(package: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(package)
        return importlib.metadata.distribution(names[0]) if names else None
