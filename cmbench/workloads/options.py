"""What a workload leaves to choose beside its data: options with their accepted values, and what a suite chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cmbench.errors import UserError, unknown

Value = str | int


@dataclass(frozen=True)
class Check:
    """Which values are accepted, in words and as a test."""

    text: str
    holds: Callable[[Any], bool]


def at_least(least: int) -> Check:
    """Integers from `least` on."""
    return Check(
        f"an integer >= {least}", lambda value: isinstance(value, int) and value is not True and value >= least
    )


NAME = Check("a name", lambda value: isinstance(value, str) and bool(value))
"""Any text."""


@dataclass(frozen=True)
class Option:
    """A choice among `values`, the first of which is the default, and what it decides; `also` accepts others."""

    values: tuple[Value, ...]
    meaning: str
    also: Check | None = None

    @property
    def default(self) -> Value:
        """What a workload has where nothing is said."""
        return self.values[0]

    @property
    def accepted(self) -> tuple[str, ...]:
        """The values, and what else there is, as a reader is told."""
        return (*map(str, self.values), *([self.also.text] if self.also else []))

    def accepts(self, value: Any) -> bool:
        """Whether `value` can be chosen."""
        return value in self.values or bool(self.also and self.also.holds(value))


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
        option = options[name]
        if not option.accepts(value):
            raise UserError(f"{where}.{name}: {value!r}: accepted: {', '.join(option.accepted)}")
        chosen[name] = option.values[option.values.index(value)] if value in option.values else value
    return chosen
