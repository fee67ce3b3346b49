"""The check of a suite's `space`: its axes, and every value on them, as hyperparameter and suite accept it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from cmbench.errors import UserError, unknown
from cmbench.experiments.dotted import put
from cmbench.experiments.settings import TrainSettings, TrainSuite
from cmbench.experiments.sweep.axes import FORMS, Axis, Choice, axis_of
from cmbench.optim.hyperparameters import Hyperparameter

SETTINGS = tuple(name for name in TrainSettings.model_fields if name != "options")
"""What a space may hold besides hyperparameters: what determines a training run, and keys inside (`schedule.gamma`)."""


def is_setting(name: str) -> bool:
    """Whether an axis is one of the suite's settings, and not a hyperparameter."""
    return name.partition(".")[0] in SETTINGS


def checked_space(
    space: Any,
    where: str,
    origin: Mapping[str, str],
    key: str = "space",
    known: Mapping[str, Hyperparameter] | None = None,
) -> dict[str, Axis]:
    """The axes of a space, those of hyperparameters that are `known` (all where it is None) validated."""
    if not isinstance(space, dict):
        raise UserError(f"{where}: {key}: {space!r}: accepted: a mapping of hyperparameters and settings to {FORMS}")
    checked = {}
    for name, written in _flat(space):
        source = _source(origin, key, name)
        if known is not None and name not in known and not is_setting(name):
            raise unknown("hyperparameter or setting", name, (*known, *SETTINGS), f"{where}: {key}{source}")
        if name == "workload":
            raise UserError(f"{where}: {key}.workload{source}: accepted: an option of the workload, workload.OPTION")
        axis = axis_of(written, f"{where}: {key}.{name}", source)
        hyperparameter = None if is_setting(name) else (known or {}).get(name)
        try:
            checked[name] = _validated(axis, hyperparameter) if hyperparameter else axis
        except ValueError as error:
            raise UserError(f"{where}: {key}.{name}: {error}{source}") from None
    return checked


def _flat(space: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The axes by dotted name: what `--set space.schedule.gamma=…` gives is a mapping in a mapping."""
    for name, written in space.items():
        if str(name) in ("schedule", "workload", "average", "lr_scale") and isinstance(written, dict):
            yield from ((f"{name}.{inner}", axis) for inner, axis in written.items())
        else:
            yield str(name), written


def _source(origin: Mapping[str, str], key: str, name: str) -> str:
    return next((f" (from {origin[each]})" for each in (f"{key}.{name}", key) if each in origin), "")


def _validated(axis: Axis, hyperparameter: Hyperparameter) -> Axis:
    if isinstance(axis, Choice):
        return Choice(tuple(map(hyperparameter.validated, axis.values)))
    for probe in axis.probes:
        hyperparameter.validated(probe)
    return axis


def with_settings(settings: TrainSuite, values: Mapping[str, Any]) -> TrainSuite:
    """The suite's settings with others for some dotted keys; raises `ValidationError` where they do not go together.

    Its own space and grid are left out: what they were tried for has been chosen.
    """
    document = settings.model_dump(exclude={"space", "grid"})
    for key, value in values.items():
        put(document, f"options.{key.partition('.')[2]}" if key.startswith("workload.") else key, value)
    return TrainSuite.model_validate(document)


def check_settings(axes: Mapping[str, Axis], settings: TrainSuite, place: str, origin: Mapping[str, str]) -> None:
    """Raises `UserError` for a value of a setting's axis that the suite does not accept."""
    for name, axis in axes.items():
        for value in axis.probes if is_setting(name) else ():
            try:
                with_settings(settings, {name: value})
            except ValidationError as error:
                source = _source(origin, "space", name)
                raise UserError(f"{place}.{name}: {value!r}{source}: {refusal(error)}") from None


def refusal(error: ValidationError) -> str:
    """Why settings were refused, in a sentence."""
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        return f"unknown key '{first['loc'][-1]}'"
    return first["msg"].removeprefix("Value error, ").replace("Input should be", "accepted:")
