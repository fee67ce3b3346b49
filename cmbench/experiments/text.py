"""Settings as texts: as a person writes them, so that equal ones can be found, and fit to be shown to anybody."""

from __future__ import annotations

import json
import re
from typing import Any

_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that tell a terminal or a page to do something, and those that no encoding has."""


def printable(text: str) -> str:
    """`text` on one line, without what would steer a terminal: a tab or a new line is a space, ESC is `\\x1b`.

    Names and messages may come from files that strangers have written.
    """
    found = _COMMANDS.search(text)
    return text if found is None else _COMMANDS.sub(_shown, " ".join(re.split(r"[\t\n\v\f\r]+", text)))


def _shown(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def all_printable(value: Any) -> Any:
    """The same for every text, and every key, in lists and mappings."""
    if isinstance(value, dict):
        return {all_printable(key): all_printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [all_printable(item) for item in value]
    return printable(value) if isinstance(value, str) else value


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
