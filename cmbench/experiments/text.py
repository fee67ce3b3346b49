"""Settings as texts: as a person writes them, and so that equal ones can be found."""

from __future__ import annotations

import json
from typing import Any


def value_text(value: Any, *, compact: bool = False) -> str:
    """A setting's value as a person writes it: `0.01`, `[0.9, 0.99]`, `none`; different numbers have different texts.

    `compact` leaves out brackets and spaces, `0.9,0.99`, as a part of a label must.
    """
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, (list, tuple)):
        items = [value_text(item, compact=compact) for item in value]
        return ",".join(items) if compact else f"[{', '.join(items)}]"
    return "none" if value is None else str(value)


def canonical(value: Any) -> str:
    """`value` as a text that is equal for equal values, whatever the order of keys."""
    return json.dumps(value, sort_keys=True)
