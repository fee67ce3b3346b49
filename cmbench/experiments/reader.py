"""Reads many results in little time and memory: what they have in common is held once."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cmbench.experiments.kinds import Kind
from cmbench.experiments.measurements import SharpnessSettings
from cmbench.experiments.result import Result
from cmbench.experiments.settings import (
    ConvergenceSettings,
    EscapeSettings,
    LandscapeSettings,
    ToySettings,
    TrainSettings,
)

_SHARED = ("suite", "optimizer", "settings", "judged_by", "environment")
"""Fields that many results agree in."""
_SETTINGS: dict[Kind, type[TrainSettings | LandscapeSettings | SharpnessSettings | ConvergenceSettings]] = {
    "train": TrainSettings,
    "toy": ToySettings,
    "escape-ratio": EscapeSettings,
    "sharpness": SharpnessSettings,
    "convergence": ConvergenceSettings,
}
_NOT_PRINTABLE = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
    rb"|\\(?:[bfnrt]|u(?:00[01789]|061[cC]|20[026]|[dD][89a-fA-F]))"
)
"""What the text of a JSON file holds where one of its values is not `printable`, and seldom otherwise."""


class ResultReader:
    """Reads results, of which equal suites, optimizers, settings and environments are one object, not to be changed."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._names: dict[frozenset[str], set[str]] = {}

    def read(self, path: Path | str) -> Result | None:
        """The result in the file at `path`; None where there is none, or one that needs the care of `read_document`."""
        try:
            with open(path, "rb", buffering=0) as file:
                content = file.read()
            if _NOT_PRINTABLE.search(content):
                return None
            result = Result.model_validate_json(content)
        except (OSError, ValidationError):
            return None
        fields = result.__dict__
        for name in _SHARED:
            value = fields[name]
            if value is not None:
                key = repr(value.__dict__ if isinstance(value, BaseModel) else value)
                if name == "settings" and (key := f"{result.kind} {result.optimizer is None} {key}") not in self._known:
                    try:
                        check_result(result)
                    except ValueError:
                        return None
                fields[name] = self._known.setdefault(key, value)
        for record in (result, result.cost):
            if record is not None:
                names = record.model_fields_set
                same = self._names.setdefault(frozenset(names), names)
                object.__setattr__(record, "__pydantic_fields_set__", same)
        return result


def check_result(result: Result) -> None:
    """Raises `ValueError` unless it says what every reader of a result of its kind relies on."""
    _check_settings(result.kind, result.settings)
    if result.optimizer is None and result.kind != "convergence":
        raise ValueError(f"a '{result.kind}' run without an optimizer")


def _check_settings(kind: Kind, document: Mapping[str, Any]) -> None:
    """Raises `ValueError` unless these are the settings of a run of this kind, all there, as its result keeps them."""
    model, given = _SETTINGS[kind], {key: value for key, value in document.items() if key != "data"}
    settings = model.model_validate(given)
    if not isinstance(document.get("data", ""), str):
        raise ValueError(f"settings.data: {document['data']!r}: accepted: a text")
    if missing := settings.document().keys() - given.keys():
        raise ValueError(f"settings.{sorted(missing)[0]}: missing")


def json_files(folder: Path) -> list[Path]:
    """Every file `*.json` below `folder`, in the order of their paths; links to folders are not followed."""
    found = [
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.endswith(".json")
    ]  # fmt: skip
    return [Path(path) for path in sorted(found, key=lambda path: path.split(os.sep))]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keeps Python from looking for cycles among records that are all to stay, which takes longer than reading them."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
