"""The hyperparameters as data: default, meaning, and what each accepts. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

Priority = Literal["gradient", "momentum", "fifo", "random"]
Scope = Literal["global", "per_tensor", "lane"]
FirstStep = Literal["paper", "authors"]
ImplementationName = Literal["auto", "plain", "foreach", "fused"]
"""How a step is carried out; `auto` leaves it to what is there."""


@dataclass(frozen=True)
class Hyperparameter:
    """One setting of an optimizer: its default, its meaning, and a predicate with the words that describe it.

    `canonical` turns an accepted way to write a value into the one that is kept. One that stands `only_where_set` is
    left out of a resolved set of hyperparameters where it has its default: runs that do without it do not know it.
    """

    name: str
    default: Any
    description: str
    accepts: str
    check: Callable[[Any], bool]
    canonical: Callable[[Any], Any] = lambda value: tuple(value) if isinstance(value, list) else value
    only_where_set: bool = False

    def validated(self, value: Any) -> Any:
        """`value` in its canonical form; raises `ValueError` naming the value that it refuses."""
        value = self.canonical(value)
        try:
            accepted = self.check(value)
        except TypeError:
            accepted = False
        if not accepted:
            raise ValueError(f"invalid {self.name}: {value!r} (accepted: {self.accepts})")
        return value

    def with_default(self, default: Any) -> Hyperparameter:
        """The same with another default."""
        return replace(self, default=default)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def as_float(value: Any) -> Any:
    """A whole number as a float, also in a pair: `1` and `1.0` are one setting. Anything else as it is."""
    if isinstance(value, (list, tuple)):
        return tuple(map(as_float, value))
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def _at_least_zero(value: Any) -> bool:
    return _is_number(value) and value >= 0


def is_rate(value: Any) -> bool:
    """Whether `value` is a number in [0, 1): the decay rate of a mean."""
    return _is_number(value) and 0 <= value < 1


def _one_of(*accepted: Any) -> tuple[str, Callable[[Any], bool]]:
    *others, last = (repr(value) if value is not None else "none" for value in accepted)
    return f"{', '.join(others)} or {last}", lambda value: value in accepted


def _dtype_name(value: Any) -> str | None:
    return None if value is None else str(value).removeprefix("torch.")


def _is_learning_rate(value: Any) -> bool:
    """Whether it is a number, or a tensor of one, >= 0; one of which there is no value yet (fake, meta) is accepted."""
    if not hasattr(value, "item"):
        return _at_least_zero(value)
    if getattr(value, "ndim", 0):
        return False
    try:
        return _at_least_zero(as_float(value.item()))
    except RuntimeError:
        return True


def _learning_rate(value: Any) -> Any:
    """`as_float`, and a tensor of one element as a view (): what changes the one changes the other."""
    is_one = getattr(value, "ndim", 0) and value.reshape(-1).shape == (1,)
    return value.reshape(()) if is_one else as_float(value)


# A tensor is read back where it is given to an optimizer, and never in a step.
LR = Hyperparameter("lr", 1e-3, "learning rate α", "a number >= 0", _is_learning_rate, _learning_rate)
BETAS = Hyperparameter(
    "betas",
    (0.9, 0.999),
    "decay rates (β₁, β₂) of the two moments",
    "two numbers in [0, 1)",
    lambda value: isinstance(value, tuple) and len(value) == 2 and all(is_rate(beta) for beta in value),
    as_float,
)
MOST_CAPACITY = 1_000_000
EPS = Hyperparameter("eps", 1e-8, "added to the root of the second moment", "a number >= 0", _at_least_zero, as_float)
WEIGHT_DECAY = Hyperparameter(
    "weight_decay", 0.0, "decoupled for adam, else L2", "a number >= 0", _at_least_zero, as_float
)
MOMENTUM = Hyperparameter("momentum", 0.0, "decay rate of the momentum", "a number in [0, 1)", is_rate, as_float)
CAPACITY = Hyperparameter(
    "capacity",
    5,
    "entries in the buffer (C)",
    f"an integer from 0 to {MOST_CAPACITY:,}",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_CAPACITY,
)
DECAY = Hyperparameter(
    "decay",
    0.7,
    "of the priorities, per step (λ)",
    "a number in (0, 1]",
    lambda value: _is_number(value) and 0 < value <= 1,
    as_float,
)
PRIORITY = Hyperparameter(
    "priority",
    "gradient",
    "what ranks an entry: the gradient's norm, the entry's own norm, its age, or chance",
    *_one_of(*get_args(Priority)),
)
SCOPE = Hyperparameter(
    "scope",
    "global",
    "one norm and decision for the model, for each tensor, or for each lane (leading dimension)",
    *_one_of(*get_args(Scope)),
)
BUFFER_DTYPE = Hyperparameter(
    "buffer_dtype",
    None,
    "type of the buffer's entries; the parameters' if none is given",
    *_one_of("bfloat16", "float16", "float32", "float64", None),
    _dtype_name,
)
FIRST_STEP = Hyperparameter(
    "first_step",
    "paper",
    "as in the paper, or as in its authors' code: it puts the gradient into the buffer, and does nothing else",
    *_one_of(*get_args(FirstStep)),
    only_where_set=True,
)
RHO = Hyperparameter("rho", 0.05, "length of the step to SAM's probe (ρ)", "a number >= 0", _at_least_zero, as_float)
GAMMA = Hyperparameter(
    "gamma", 0.01, "step size to the extragradient's probe (γ)", "a number >= 0", _at_least_zero, as_float
)
