"""The verdicts on the paper's claims by stored results."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from cmbench.experiments.result import Result
from cmbench.experiments.suite import load_suite
from cmbench.report.comparison import FEWEST, Comparison, compare, holm
from cmbench.report.paper.claims import CLAIMS, Claim
from cmbench.report.results import out_option
from cmbench.report.verdicts.evidence import Evidence, RowEvidence, Values, evidence_for
from cmbench.report.verdicts.printed import AsPrinted, as_printed
from cmbench.report.verdicts.rule import Asserted, Settled, decide, decide_difference

Name = Literal[Settled, "incomplete", "not run"]


@dataclass(frozen=True)
class Pair:
    """One comparison of a claim: the row `better` beside the row `worse`, in `measure` where a claim has several."""

    better: str
    worse: str
    measure: str
    asserted: Asserted

    @property
    def comparison(self) -> Comparison:
        """Of the values of `better` less those of `worse`."""
        return self.asserted.comparison


@dataclass(frozen=True)
class Verdict:
    """What comes of a claim here: `verdict`, the comparisons behind it, `p` (the largest of theirs).

    `p_holm` is `p` after Holm's correction over all claims that were run, `family` of them. `needed` is the number of
    `unit`s that would settle an inconclusive claim; `n` the number compared; `missing` what an incomplete one lacks;
    `command` what runs or completes it.
    """

    claim: Claim
    verdict: Name
    printed: AsPrinted
    command: str
    pairs: tuple[Pair, ...] = ()
    p: float | None = None
    p_holm: float | None = None
    family: int = 1
    needed: int | None = None
    n: int = 0
    unit: str = "seeds"
    missing: tuple[str, ...] = ()

    @property
    def was_run(self) -> bool:
        """Whether there was enough to judge it by."""
        return self.verdict in get_args(Settled)

    @property
    def deciding(self) -> Pair | None:
        """The comparison that says least for the claim."""

        def strength(pair: Pair) -> tuple[float, float]:
            sign = pair.asserted.direction or 1
            return (math.inf if (p := pair.asserted.p_for) is None else p, -pair.comparison.effect * sign)

        return max(self.pairs, key=strength, default=None)


def judge(results: Sequence[Result], claims: Iterable[Claim] = CLAIMS, out: Path | str = "results") -> list[Verdict]:
    """A verdict on each of `claims`, with Holm's correction over those of them that were run: over the paper's, and by
    itself over each topic of our own.

    The commands for what was not run write into the folder `out`.
    """
    verdicts = [_verdict(claim, results, out) for claim in claims]
    families: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        families.setdefault(verdict.claim.place.topic, []).append(verdict)
    corrected = {v.claim.id: v for family in families.values() for v in _corrected(family)}
    return [corrected[verdict.claim.id] for verdict in verdicts]


def _corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    run = sum(v.was_run for v in verdicts)
    verdicts = [replace(v, family=run) for v in verdicts]
    adjusted = iter(holm(v.p for v in verdicts if v.was_run and v.p is not None))
    return [replace(v, p_holm=next(adjusted)) if v.was_run and v.p is not None else v for v in verdicts]


def _verdict(claim: Claim, results: Sequence[Result], out: Path | str) -> Verdict:
    kind = load_suite(claim.suite).settings.kind
    what = claim.place.name if claim.across_suites else claim.suite
    command = f"cmbench {kind} --suite {what}{out_option(out)}"
    if claim.measured:
        command += f" && cmbench sharpness --suite {claim.measured.suite}{out_option(out)}"
    blank = Verdict(claim, "not run", as_printed(claim), command)
    if claim.relation == "below":
        return _bounded(claim, blank, results)
    evidence = evidence_for(claim, results)
    blank = replace(blank, unit=evidence.unit)
    if all(row.is_empty for row in evidence.rows):
        return replace(blank, missing=evidence.missing)
    pairs = _pairs(claim, evidence)
    n = min((pair.comparison.n for pair in pairs), default=0)
    found = replace(blank, pairs=tuple(pairs), n=n)
    if evidence.missing or not pairs:
        return replace(found, verdict="incomplete", missing=evidence.missing)
    if claim.relation == "differs":
        decision = decide_difference(pairs[0].asserted)
    else:
        decision = decide([pair.asserted for pair in pairs])
    needed = FEWEST if n < FEWEST else decision.needed
    return replace(found, verdict=decision.verdict, p=decision.p, needed=needed)


def _pairs(claim: Claim, evidence: Evidence) -> list[Pair]:
    """Every comparison of the claim that at least one unit allows."""
    pairs = []
    for first, second in itertools.pairwise(evidence.groups):
        for better, worse in itertools.product(first, second):
            if claim.matched and _setting(better, claim.matched) != _setting(worse, claim.matched):
                continue
            for measure, ours, theirs in zip(evidence.measures, better.measures, worse.measures, strict=True):
                if common := sorted(ours.keys() & theirs.keys()):
                    asserted = _asserted(claim, ours, theirs, common)
                    pairs.append(Pair(better.title, worse.title, measure, asserted))
    return pairs


def _asserted(claim: Claim, ours: Values, theirs: Values, common: Sequence[int]) -> Asserted:
    comparison = compare([ours[i] for i in common], [theirs[i] for i in common])
    if claim.relation in ("equal", "differs"):
        margin = claim.margin or 0.0
        if claim.relative_margin is not None:
            margin = claim.relative_margin * abs(math.fsum(theirs[i] for i in common) / len(common))
        return Asserted(comparison, 0, margin)
    return Asserted(comparison, 1 if claim.relation == "higher" else -1)


def _setting(row: RowEvidence, name: str) -> object:
    return row.optimizer.hyperparameters.get(name)


def _bounded(claim: Claim, blank: Verdict, results: Sequence[Result]) -> Verdict:
    """Computed, not sampled: every value of every run of the suite is below the margin, or one is not."""
    blank = replace(blank, unit="values")
    own = [r for r in results if r.suite.name == claim.suite and r.status == "completed" and r.settings.get("capacity")]
    values = [value for result in own for value in result.curves.get(claim.metric, [])]
    if not values:
        return blank
    holds = all(value is not None and value < (claim.margin or 0.0) for value in values)
    return replace(blank, verdict="reproduced" if holds else "contradicted", n=len(values))
