"""Which measurements of flatness a command asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from pydantic import ValidationError

from cmbench.errors import UserError
from cmbench.experiments.measurements import READ_BY, SharpnessMetric, SharpnessSettings
from cmbench.experiments.plan import narrow
from cmbench.experiments.settings import SharpnessSuite


def ways_to_measure(
    suite: SharpnessSuite, metrics: Sequence[str] = (), given: Sequence[str] = (), at: str | None = None
) -> list[SharpnessSettings]:
    """The settings of each of the `metrics` at each of the weights, `at` alone if given; by default the suite's own.

    What is measured (`of`) is left to be filled in.

    Raises `UserError` for an unknown metric, unknown weights, and where a setting among the assignments `given`
    (`KEY=VALUE`) means nothing to any of them.
    """
    known = get_args(SharpnessMetric)
    if unknown := [metric for metric in metrics if metric not in known]:
        raise UserError(f"--metric {unknown[0]!r}: accepted: {', '.join(known)}")
    try:
        ways = [
            narrow(suite, SharpnessSettings, of="", metric=metric, at=weights)
            for weights in ((at,) if at else dict.fromkeys(suite.at))
            for metric in dict.fromkeys(metrics or suite.metric)
        ]
    except ValidationError:
        raise UserError(f"--at {at}: accepted: last, best, epoch=N") from None
    every = {name for names in READ_BY.values() for name in names}
    for key in (assignment.partition("=")[0] for assignment in given):
        if key in every and not any(key in READ_BY[way.metric] for way in ways):
            readers = ", ".join(metric for metric, names in READ_BY.items() if key in names)
            raise UserError(f"{key}: nothing that is measured depends on it; accepted with: --metric {readers}")
    return ways
