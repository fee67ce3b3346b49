"""Verdicts in words: an effect with its interval, and the sentences below a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from cmbench.report.comparison import FEWEST, LEVEL, Comparison
from cmbench.report.paper.claims import CLAIMS, Claim
from cmbench.report.runs.groups import Group
from cmbench.report.table import Table
from cmbench.report.verdicts.judge import Name, Pair, Verdict, judge


def with_verdicts(table: Table, group: Group) -> Table:
    """`table` with a sentence below it for each claim or question that its runs say something about."""
    results = [run.result for run in group.runs if run.result]
    surface = group.settings.get("surface")
    claims = [
        claim for claim in CLAIMS if claim.suite == group.suite.name and claim.surface in (None, surface)
    ]  # fmt: skip
    if not group.suite.paper:
        claims = [claim for claim in claims if claim.place.is_ours]
    if not claims or not results:
        return table
    sentences = [sentence(verdict) for verdict in judge(results, claims) if verdict.verdict != "not run"]
    return replace(table, footnotes=(*table.footnotes, *sentences))


def sentence(verdict: Verdict) -> str:
    """`paper, Table 1, levy: Adam+CM ends at the lowest loss: reproduced (p < 0.001, 400 starts)`, or why not."""
    word = verdict.verdict.upper() if verdict.verdict == "contradicted" else verdict.verdict
    place = place_text(verdict.claim) if verdict.claim.place.is_ours else f"paper, {place_text(verdict.claim)}"
    return f"{place}: {verdict.claim.text}: {word} ({', '.join(_details(verdict))})"


def place_text(claim: Claim) -> str:
    """`Table 1, levy`: the place, and which column or surface of it."""
    column = claim.column or claim.surface
    return f"{claim.place.text}, {column}" if column else claim.place.text


def _details(verdict: Verdict) -> list[str]:
    if verdict.verdict == "incomplete":
        return [*verdict.missing]
    count = f"{verdict.n} {verdict.unit}"
    if verdict.verdict == "reproduced":
        return [*([p_text(verdict.p)] if verdict.p is not None else []), count]
    pair = verdict.deciding
    return [*([effect_text(pair)] if pair else []), count, *needed_text(verdict)]


def effect_text(pair: Pair) -> str:
    """`Adam+CM − Adam at s=20: +0.12 [+0.03, +0.21]`, without an interval where none can be given."""
    comparison = pair.comparison
    if comparison.n < FEWEST:
        number = f"{signed(comparison.effect)}, too few for an interval"
    elif comparison.interval is None:
        number = f"{signed(comparison.effect)} everywhere" if comparison.effect else "no difference anywhere"
    else:
        number = difference_text(comparison)
    at = f" at {pair.measure}" if pair.measure else ""
    return f"{pair.better} − {pair.worse}{at}: {number}"


def difference_text(comparison: Comparison) -> str:
    """`+0.12 [+0.03, +0.21]`, without the interval where there is none."""
    if comparison.interval is None:
        return signed(comparison.effect)
    low, high = comparison.interval
    return f"{signed(comparison.effect)} [{signed(low)}, {signed(high)}]"


def needed_text(verdict: Verdict) -> list[str]:
    """How many seeds or starts would settle an inconclusive claim, where that is known."""
    if verdict.verdict != "inconclusive" or verdict.needed is None:
        return []
    return [f"{verdict.needed:,} would settle a difference like this"]


def p_text(p: float) -> str:
    """`p = 0.03`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def signed(value: float) -> str:
    """A number with its sign, in three significant digits."""
    text = f"{value:+.3g}"
    return f"−{text[1:]}" if text.startswith("-") else text


def verdict_counts(verdicts: Sequence[Verdict]) -> str:
    """`12 reproduced (10 of them also after Holm's correction over all 20 that were run), 3 contradicted, …`."""
    claims = [v for v in verdicts if not v.claim.place.is_ours]
    ours = [v for v in verdicts if v.claim.place.is_ours]
    parts = [", ".join(_counts(claims))] if claims else []
    if any(v.was_run for v in ours) or not claims:
        parts.append(f"our questions: {', '.join(_counts(ours))}")
    return "; ".join(parts)


def _counts(verdicts: Sequence[Verdict]) -> list[str]:
    parts = []
    run = max((v.family for v in verdicts), default=0)
    for name in get_args(Name):
        own = [v for v in verdicts if v.verdict == name]
        if not own:
            continue
        text = f"{len(own)} {name}"
        if name in ("reproduced", "different") and run > 1:
            survive = sum(v.p_holm is None or v.p_holm <= LEVEL for v in own)
            text += f" ({survive} of them also after Holm's correction over the {run} that were run)"
        parts.append(text)
    return parts
