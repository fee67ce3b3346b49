"""Times and sizes as a person reads them."""

from __future__ import annotations


def time_text(seconds: float) -> str:
    """`42 s`, `12 min`, `3 h 05 min`, `2.5 days`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{seconds / 86400:.1f} days"


def bytes_text(number: int) -> str:
    """`412 KiB`, `1.8 MiB`, `2.0 GiB`."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 2**10:.0f} KiB"
