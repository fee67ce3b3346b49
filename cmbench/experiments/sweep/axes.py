"""An axis of a search space: the values, or the range, that a sweep tries of one hyperparameter or setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cmbench.errors import UserError, suggest

Scale = Literal["log", "uniform", "int"]
FORMS = "a list of values, {log: [a, b]}, {uniform: [a, b]} (also step) or {int: [a, b]} (also step, log)"
_OPTIONS: dict[str, tuple[str, ...]] = {"log": (), "uniform": ("step",), "int": ("step", "log")}


@dataclass(frozen=True)
class Choice:
    """One of `values`."""

    values: tuple[Any, ...]

    def at(self, u: float) -> Any:
        """The value at the share `u` in [0, 1) of the axis."""
        return self.values[int(u * len(self.values))]

    def listed(self) -> tuple[Any, ...]:
        """Every value."""
        return self.values

    @property
    def probes(self) -> tuple[Any, ...]:
        """Values by which a reader of the axis checks it."""
        return self.values

    @property
    def ends(self) -> tuple[float, float] | None:
        """The least and the greatest value, where there are more than two and all are numbers."""
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in self.values)
        return (min(self.values), max(self.values)) if numbers and len(self.values) > 2 else None

    def document(self) -> Any:
        """The axis as it stands in a suite's file."""
        return [list(value) if isinstance(value, tuple) else value for value in self.values]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: evenly by their logarithms where `log`, whole ones where `int`.

    A log scale has values of three significant digits; a uniform one without `step` has a thousand steps. So the values
    that are tried are those that are printed, and two trials that look the same are.
    """

    low: float
    high: float
    scale: Scale
    step: float | None = None
    log: bool = False

    def at(self, u: float) -> float:
        """The value at the share `u` in [0, 1) of the axis."""
        if self.log:
            # A whole number stands for everything that is rounded to it.
            low, high = (self.low - 0.5, self.high + 0.5) if self.scale == "int" else (self.low, self.high)
            return self.nearest(math.exp(math.log(low) + u * (math.log(high) - math.log(low))))
        if self.step:
            count = round((self.high - self.low) / self.step) + 1
            return self.nearest(self.low + int(u * count) * self.step)
        return self.nearest(self.low + u * (self.high - self.low))

    def nearest(self, value: float) -> float:
        """The value of the axis that is nearest to `value`."""
        if self.step:
            value = self.low + round((value - self.low) / self.step) * self.step
        if self.scale == "int":
            return int(min(max(round(value), self.low), self.high))
        if self.log:
            value = float(f"{value:.3g}")
        elif self.step is None:
            value = round(value, 3 - math.floor(math.log10(self.high - self.low)))
        return min(max(float(f"{value:.12g}"), self.low), self.high)

    def listed(self) -> tuple[float, ...] | None:
        """Every value, or None where there is no end of them."""
        if self.step is None:
            return None
        return tuple(
            self.nearest(self.low + i * self.step) for i in range(round((self.high - self.low) / self.step) + 1)
        )

    @property
    def probes(self) -> tuple[float, ...]:
        """Values by which a reader of the axis checks it: both ends, and one between that no rounding makes whole."""
        if self.scale == "int":
            return (int(self.low), int(self.high))
        between = self.at(0.61)
        return (float(self.low), float(self.high), between if between != int(between) else between + 1e-3)

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return (self.low, self.high)

    def document(self) -> Any:
        """The axis as it stands in a suite's file."""
        shown: dict[str, Any] = {self.scale: [self.low, self.high]}
        if self.step and not (self.scale == "int" and self.step == 1):
            shown["step"] = self.step
        if self.scale == "int" and self.log:
            shown["log"] = True
        return shown


Axis = Choice | Range


def axis_of(written: Any, place: str, source: str = "") -> Axis:
    """The axis that is `written` at `place` of a suite; raises `UserError` for what is none."""
    if isinstance(written, (list, tuple)) and written:
        values = tuple(tuple(value) if isinstance(value, list) else value for value in written)
        if len(set(map(repr, values))) < len(values):
            raise UserError(f"{place}: {written!r}{source}: a value is given twice; accepted: different values")
        return Choice(values)
    if not isinstance(written, dict) or not written:
        raise UserError(f"{place}: {written!r}{source}: accepted: {FORMS}")
    scale = next((key for key in written if key in _OPTIONS), None)
    if scale is None:
        hint = suggest(str(next(iter(written))), _OPTIONS)
        raise UserError(f"{place}: {written!r}{source}: {hint}accepted: {FORMS}")
    for key in written:
        if key not in (scale, *_OPTIONS[scale]):
            accepted = ", ".join((scale, *_OPTIONS[scale]))
            hint = suggest(str(key), _OPTIONS[scale])
            raise UserError(f"{place}: unknown key '{key}'{source}: {hint}accepted: {accepted}")
    return _range(written, scale, lambda what: UserError(f"{place}: {written!r}{source}: accepted: {what}"))


def _range(written: Mapping[str, Any], scale: str, refusal: Callable[[str], UserError]) -> Range:
    ends, step = written[scale], written.get("step")
    log = scale == "log" or written.get("log", False)
    if not (isinstance(ends, (list, tuple)) and len(ends) == 2 and all(map(_is_number, ends)) and ends[0] < ends[1]):
        raise refusal(f"{scale}: [low, high], two numbers with low < high")
    low, high = ends
    if scale == "int" and not all(isinstance(end, int) for end in ends):
        raise refusal("int: [low, high], two integers with low < high")
    if not isinstance(log, bool):
        raise refusal("log: true or false")
    if log and low <= 0:
        raise refusal("a logarithmic range of numbers > 0")
    if step is not None and log:
        raise refusal("step or log, not both")
    if step is not None and not (_is_number(step) and step > 0 and _divides(step, high - low)):
        raise refusal("step: a number > 0 that divides high − low")
    if scale == "int":
        if step is not None and not isinstance(step, int):
            raise refusal("step: an integer, as the ends of the range")
        return Range(low, high, "int", step or 1, log)
    return Range(float(low), float(high), "log" if scale == "log" else "uniform", step and float(step), log)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _divides(step: float, length: float) -> bool:
    return math.isclose(length / step, round(length / step), rel_tol=1e-9)
