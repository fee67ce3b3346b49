"""The result store: one JSON file per run at `ROOT/SUITE/OPTIMIZER/RUNID.json`, each written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from cmbench.errors import Unreadable, UserError
from cmbench.experiments.atomic import is_abandoned, temporary_file, write_bytes
from cmbench.experiments.files import BEST, RESULT, RESUME, WEIGHTS, folder_name, set_aside
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.reader import ResultReader, check_result, json_files
from cmbench.experiments.result import Result
from cmbench.experiments.text import all_printable

Document = TypeVar("Document", bound=BaseModel)
_TRIAL = ".trial-"
"""Begins the name of a file that shows that one can be written."""


def read_document(path: Path | str, model: type[Document], what: str, missing: str = "") -> Document:
    """The JSON file at `path` as a `model`, its texts printable; raises `Unreadable` where it holds no `what`.

    `missing` is what is said not to exist where there is no file, by default `what`. A document of a later schema is no
    broken one: it raises a plain `UserError`.
    """
    document: Any = None
    try:
        document = all_printable(json.loads(Path(path).read_text(encoding="utf-8")))
        return model.model_validate(document)
    except FileNotFoundError:
        raise UserError(f"{path}: no such {missing or what}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("schema",) and "cmbench" in str(first["input"]):
            problem = (
                f"{path}: a {what} of the schema {first['input']!r}: {first['msg']}: a later cmbench has written it?"
            )
            raise UserError(problem) from None
        raise Unreadable(f"{path}: not a {what}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:  # no text, no JSON, nested too deep, a number too long
        raise Unreadable(f"{path}: not a {what}: {error}") from None


def _link(source: Path, target: Path) -> None:
    """Makes `target` the same file as `source`, or a copy of it; nothing where there is no `source`."""
    target.unlink(missing_ok=True)
    if not source.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        write_bytes(target, source.read_bytes())


def _writable(name: str) -> str:
    """`name`, unless the file system's encoding lacks one of its characters: then raises `UserError`."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise UserError(f"'{name}': a folder cannot be called that in {encoding}; PYTHONUTF8=1 helps") from None
    return name


class Stored(NamedTuple):
    """A result and the path of its file."""

    path: Path
    result: Result


class ResultStore:
    """The results below one folder, which is listed once: what other processes add later is found by its place only."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._places: dict[str, list[Path]] | None = None
        self._reader = ResultReader()

    def path(self, spec: RunSpec, suffix: str = RESULT) -> Path:
        """Where the result of `spec` is (or will be) kept; other suffixes are its checkpoints."""
        return self.root / folder_name(spec.suite.name) / _writable(folder_name(spec.label)) / f"{spec.id}{suffix}"

    def find(self, spec: RunSpec) -> Result | None:
        """The stored result of `spec`, if there is one; raises `Unreadable` where its file holds none."""
        path = self.path(spec)
        try:
            return self._reader.read(path) or (self.read(path) if path.exists() else None)
        except OSError as error:
            raise UserError(f"{path}: cannot be read (--out): {error.strerror}") from None

    def find_whole(self, spec: RunSpec) -> Result | None:
        """The same; None where its file holds none."""
        try:
            return self.find(spec)
        except Unreadable:
            return None

    def set_aside(self, spec: RunSpec) -> Path:
        """Renames the file of the result of `spec`, which holds none, so that another takes its place."""
        return set_aside(self.path(spec))

    def find_equal(self, spec: RunSpec, *, anew: bool = False) -> Stored | None:
        """A finished result of the same run that was done for another suite or label, and answers `spec`.

        With `anew`, also one that another process has stored since the folder was listed.
        """
        if anew:
            places = sorted(self.root.glob(f"*/*/{spec.id}{RESULT}"))
            return self._answering(spec, places)
        if self._places is None:
            self._places = {}
            for path in sorted(self.root.glob(f"*/*/*{RESULT}")):
                self._places.setdefault(path.stem, []).append(path)
        return self._answering(spec, self._places.get(spec.id, []))

    def _answering(self, spec: RunSpec, places: Sequence[Path]) -> Stored | None:
        for path in places:
            with contextlib.suppress(UserError):  # a broken file of another suite's is not this one's concern
                if path != self.path(spec) and spec.is_finished_by(result := self.read(path)):
                    return Stored(path, result)
        return None

    def check(self, specs: Sequence[RunSpec]) -> None:
        """Makes the folders of the specs' results; raises `UserError` where nothing can be written."""
        for folder in dict.fromkeys(self.path(spec).parent for spec in specs):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                for leftover in folder.glob(f"{_TRIAL}*.tmp"):
                    if is_abandoned(leftover):
                        leftover.unlink(missing_ok=True)
                with temporary_file(folder, _TRIAL):
                    pass
            except OSError as error:
                raise UserError(f"{folder}: no results can be written there (--out): {error.strerror}") from None

    def save(self, spec: RunSpec, result: Result) -> Path:
        """Writes `result` atomically and returns its path; a number that is not finite is null.

        A run that is finished by it needs its checkpoint no more.
        """
        path = self.path(spec)
        document = result.model_dump(by_alias=True, mode="python")
        fields = (to_json(key) + b": " + to_json(value, inf_nan_mode="null") for key, value in document.items())
        text = b"{\n " + b",\n ".join(fields) + b"\n}\n"
        write_bytes(path, text)
        if result.finished:
            with contextlib.suppress(OSError):
                path.with_suffix(RESUME).unlink()
        if self._places is not None and path not in (known := self._places.setdefault(spec.id, [])):
            known.append(path)
        return path

    def take_over(self, spec: RunSpec, result: Result, equal: Path) -> Path:
        """Writes `result`, taken over from the one at the path `equal`, as that of `spec`, with the weights there."""
        path = self.path(spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        for suffix in (WEIGHTS, BEST):
            _link(equal.with_suffix(suffix), path.with_suffix(suffix))
        return self.save(spec, result)

    @staticmethod
    def read(path: Path | str) -> Result:
        """The result in the file at `path`; raises `Unreadable` naming the file when it holds none."""
        result = read_document(path, Result, "result")
        try:
            check_result(result)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, ("settings", *first["loc"])))
            raise Unreadable(f"{path}: not a result: {key}: {first['msg']}") from None
        except ValueError as error:
            raise Unreadable(f"{path}: not a result: {error}") from None
        return result

    def results(self, suite: str | None = None, unreadable: list[str] | None = None) -> Iterator[tuple[Path, Result]]:
        """Every stored result with its path, ordered by path; of one suite where `suite` is given.

        Of a file that holds none, what is wrong is added to `unreadable`; where that is None, it is raised.
        """
        return self.results_in(self.root / folder_name(suite) if suite else self.root, unreadable)

    def results_in(self, folder: Path, unreadable: list[str] | None = None) -> Iterator[tuple[Path, Result]]:
        """The same of those below one folder."""
        for path in json_files(folder):
            try:
                yield path, self._reader.read(path) or self.read(path)
            except UserError as error:
                if not path.exists():  # another process has removed it since
                    continue
                if unreadable is None:
                    raise
                unreadable.append(str(error))
