"""Which claims are asked for: by place, suite or a pattern of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from cmbench.errors import UserError, suggest
from cmbench.report.paper.claims import CLAIMS
from cmbench.report.verdicts.judge import Verdict


def chosen(
    verdicts: Sequence[Verdict], *, suites: Sequence[str] = (), tables: Sequence[int] = (), figures: Sequence[int] = ()
) -> list[Verdict]:
    """The verdicts on claims of those places or suites; all of them where none is named."""
    places = {("table", number) for number in tables} | {("figure", number) for number in figures}
    if not suites and not places:
        return list(verdicts)
    return [v for v in verdicts if v.claim.suite in suites or tuple(v.claim.place) in places]


def required(verdicts: Sequence[Verdict], patterns: Sequence[str]) -> list[Verdict]:
    """The verdicts on claims whose id matches one of `patterns`, as in a shell: `table2/*`, `*/cm-best`.

    Raises `UserError` for a pattern that no claim matches.
    """
    for pattern in patterns:
        if not any(fnmatchcase(claim.id, pattern) for claim in CLAIMS):
            hint = suggest(pattern, [claim.id for claim in CLAIMS])
            raise UserError(
                f"--require {pattern}: no such claim: {hint}accepted: the id of a claim, or a pattern like 'table2/*' "
                "(`cmbench report --claims` lists them)"
            )
    return [v for v in verdicts if any(fnmatchcase(v.claim.id, pattern) for pattern in patterns)]


def missing(verdicts: Sequence[Verdict]) -> list[str]:
    """What would run those that were not run, or not completely: a line for each command."""
    waiting: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.verdict in ("incomplete", "not run"):
            waiting.setdefault(verdict.command, []).append(verdict.claim.id)
    return [f"{', '.join(ids)}: results are missing; to get them: {command}" for command, ids in waiting.items()]
