"""What runs were trained on, where that is not the published data: no number of the paper is to stand beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cmbench.experiments.result import Result

NOT_PUBLISHED = "not the published data: "
"""How the note on such runs begins."""
_PARTS = {"train": "trained on {} images", "validation": "validated on {}", "classes": "{} classes"}


def is_published(result: Result) -> bool:
    """Whether a run was trained on all of its data set's published files, as far as its result says otherwise."""
    return not result.environment.get("data_subset") and result.environment.get("data_published") is not False


def data_note(suite: str, results: Iterable[Result]) -> list[str]:
    """A line for runs of the suite on other data than the published; none where all are on that."""
    other = next((result for result in results if not is_published(result)), None)
    if other is None:
        return []
    parts = _parts(other.environment.get("data_subset"))
    if other.environment.get("data_published") is False:
        parts.append("files with other sums than the published ones")
    text = ", ".join(parts) or "a part of it"
    return [f"{NOT_PUBLISHED}{suite}: {text}; no number of the paper stands beside it"]


def _parts(subset: Any) -> list[str]:
    """`trained on 32 of 1,281,167 images`; a result's environment may hold anything."""
    found = []
    for name, text in _PARTS.items():
        counts = subset.get(name) if isinstance(subset, dict) else None
        if isinstance(counts, (list, tuple)) and len(counts) == 2 and all(type(count) is int for count in counts):
            found.append(text.format(f"{counts[0]:,} of {counts[1]:,}"))
    return found
