"""Keys inside keys of a suite: `schedule.gamma`."""

from __future__ import annotations

from typing import Any

from cmbench.errors import UserError


def put(content: dict[str, Any], key: str, value: Any) -> None:
    """Sets the dotted `key` in `content`, whose mappings on the way are copied, and short forms written out.

    Raises `UserError` where something on the way is no mapping.
    """
    *way, last = key.split(".")
    target = content
    for part in way:
        inner = target.get(part)
        if isinstance(inner, str):  # the short form of a schedule or a workload
            inner = {"name": inner}
        elif isinstance(inner, float):  # that of an average
            inner = {"decay": inner}
        if not isinstance(inner, (dict, type(None))):
            raise UserError(f"{key}: there are no keys in '{part}', which is {inner!r}")
        target[part] = inner = {} if inner is None else dict(inner)
        target = inner
    target[last] = value
