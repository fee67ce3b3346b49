"""Which claims are asked for: by place, suite or a pattern of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from cmbench.errors import UserError, suggest
from cmbench.experiments.suite import is_file_name, named, suites_of
from cmbench.report.paper.claims import CLAIMS, Claim
from cmbench.report.verdicts.judge import Verdict


def chosen(
    verdicts: Sequence[Verdict], *, suites: Sequence[str] = (), tables: Sequence[int] = (), figures: Sequence[int] = ()
) -> list[Verdict]:
    """The verdicts on claims of those places or suites, suites as `--suite` names them; else all of them.

    Raises `UserError` for a place or suite that no claim is about.
    """
    if not (suites or tables or figures):
        return list(verdicts)
    ids: set[str] = set()
    for name in suites:
        meant = {Path(each).stem if is_file_name(each) else each for each in named(name)}
        known = list(dict.fromkeys(suite for v in verdicts for suite in _suites(v.claim)))
        about = {v.claim.id for v in verdicts if meant & {*_suites(v.claim)}}
        if not about:
            raise _no_claim(f"--suite {name}", suggest(name, known), known)
        ids |= about
    for kind, numbers in (("table", tables), ("figure", figures)):
        known = list(dict.fromkeys(str(v.claim.place.number) for v in verdicts if v.claim.place.kind == kind))
        for number in numbers:
            if str(number) not in known:
                raise _no_claim(f"--{kind} {number}", "", known)
            ids |= {v.claim.id for v in verdicts if (v.claim.place.kind, v.claim.place.number) == (kind, number)}
    return [v for v in verdicts if v.claim.id in ids]


def _suites(claim: Claim) -> list[str]:
    own = suites_of(claim.place.name) if claim.across_suites else [claim.suite]
    return [*own, claim.measured.suite] if claim.measured else own


def _no_claim(option: str, hint: str, known: Sequence[str]) -> UserError:
    return UserError(f"{option}: no claim is about it: {hint}accepted: {', '.join(known)}")


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
