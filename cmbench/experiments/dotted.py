"""Keys inside keys of a suite: `schedule.gamma`."""

from __future__ import annotations

from typing import Any


def put(content: dict[str, Any], key: str, value: Any) -> None:
    """Sets the dotted `key` in `content`, whose mappings on the way are copied, and short forms written out."""
    *way, last = key.split(".")
    target = content
    for part in way:
        inner = target.get(part)
        if isinstance(inner, str):  # the short form of a schedule or a workload
            inner = {"name": inner}
        elif isinstance(inner, float):  # that of an average
            inner = {"decay": inner}
        target[part] = inner = {} if inner is None else dict(inner)
        target = inner
    target[last] = value
