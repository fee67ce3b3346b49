"""What a workload leaves to choose beside its data: options with their accepted values, and what a suite chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmbench.errors import UserError, unknown

Value = str | int


@dataclass(frozen=True)
class Option:
    """A choice among `values`, the first of which is the default, and what it decides."""

    values: tuple[Value, ...]
    meaning: str

    @property
    def default(self) -> Value:
        """What a workload has where nothing is said."""
        return self.values[0]


def chosen_options(options: Mapping[str, Option], given: Mapping[str, Any], where: str = "") -> dict[str, Value]:
    """The value of each of `options`: that of `given`, else the default.

    Raises `UserError` for an option or a value that does not exist, naming it behind `where`, and what is accepted.
    """
    chosen = {name: option.default for name, option in options.items()}
    for name, value in given.items():
        if name not in options:
            if not options:
                raise UserError(f"{where}.{name}: this workload has no options: accepted: its name alone")
            raise unknown("option", name, options, where)
        values = options[name].values
        if value not in values:
            raise UserError(f"{where}.{name}: {value!r}: accepted: {', '.join(map(str, values))}")
        chosen[name] = values[values.index(value)]
    return chosen
