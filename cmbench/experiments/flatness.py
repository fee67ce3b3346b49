"""Which measurements of flatness a command asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from pydantic import ValidationError

from cmbench.errors import UserError
from cmbench.experiments.measurements import MOST_DIRECTIONS, OTHER_RUNS, READ_BY, SharpnessMetric, SharpnessSettings
from cmbench.experiments.plan import narrow
from cmbench.experiments.settings import SharpnessSuite


def ways_to_measure(
    suite: SharpnessSuite,
    metrics: Sequence[str] = (),
    given: Sequence[str] = (),
    at: str | None = None,
    to: Sequence[str] = (),
) -> list[SharpnessSettings]:
    """The settings of each of the `metrics` at each of the weights, `at` alone if given; by default the suite's own.

    The other runs of a barrier or a plane are `to`, by default the suite's. What is measured (`of`) is left open.

    Raises `UserError` for an unknown metric, unknown weights, as many other runs or eigenvectors as a metric does not
    take, and where `to`, or a setting among the assignments `given` (`KEY=VALUE`), means nothing to any of them.
    """
    known = get_args(SharpnessMetric)
    if unknown := [metric for metric in metrics if metric not in known]:
        raise UserError(f"--metric {unknown[0]!r}: accepted: {', '.join(known)}")
    try:
        ways = [
            narrow(suite, SharpnessSettings, of="", metric=metric, at=weights, to=tuple(to) or suite.to)
            for weights in ((at,) if at else dict.fromkeys(suite.at))
            for metric in dict.fromkeys(metrics or suite.metric)
        ]
    except ValidationError:
        raise UserError(f"--at {at}: accepted: last, best, epoch=N") from None
    every = {name for names in READ_BY.values() for name in names}
    for key in (*(assignment.partition("=")[0] for assignment in given), *(["to"] if to else [])):
        if key in every and not any(key in READ_BY[way.metric] for way in ways):
            readers = ", ".join(metric for metric, names in READ_BY.items() if key in names)
            raise UserError(f"{key}: nothing that is measured depends on it; accepted with: --metric {readers}")
    for way in ways:
        _check_dimensions(way)
    return ways


def _check_dimensions(way: SharpnessSettings) -> None:
    wanted = OTHER_RUNS.get(way.metric)
    if wanted and len(way.to) != wanted:
        raise UserError(f"--metric {way.metric}: accepted with: {' '.join(['--to TARGET'] * wanted)}")
    if way.metric == "slice" and way.top > MOST_DIRECTIONS:
        raise UserError(f"--top {way.top}: accepted with --metric slice: 1 (a line), 2 (a plane)")
