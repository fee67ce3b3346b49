"""Verdicts on claims as HTML: those that were run, each with its evidence, then the commands for the others."""

from __future__ import annotations

from collections.abc import Sequence

from cmbench.report.captions import plural
from cmbench.report.formats.claims import printed_text
from cmbench.report.page.embed import text
from cmbench.report.verdicts.judge import Pair, Verdict
from cmbench.report.verdicts.sentences import effect_text, needed_text, p_text, place_text, verdict_counts


def claims_html(verdicts: Sequence[Verdict]) -> str:
    """The section of the claims; empty where there is none to speak of."""
    if not verdicts:
        return ""
    run = [verdict for verdict in verdicts if verdict.verdict != "not run"]
    listed = f'<ol class="claims" data-rows>{"".join(map(_claim, run))}</ol>' if run else ""
    return (
        f'<section id="claims"><h2>Claims</h2><p class="lead">{text(verdict_counts(verdicts))}.</p>'
        f"{listed}{_not_run(verdicts)}</section>"
    )


def _claim(verdict: Verdict) -> str:
    word = verdict.verdict
    evidence = "".join(f"<li>{text(line)}</li>" for line in _evidence(verdict))
    pairs = ""
    if len(verdict.pairs) > 1:
        lines = "".join(f"<li>{text(_pair(pair))}</li>" for pair in verdict.pairs)
        pairs = f"<details><summary>all {len(verdict.pairs)} comparisons</summary><ul>{lines}</ul></details>"
    return (
        f'<li data-row><p class="verdict {word.replace(" ", "-")}">{text(word)}</p><div><p class="claim">'
        f"{text(_capital(verdict.claim.text))}.</p><ul>{evidence}</ul>{pairs}"
        f'<p class="id">{text(place_text(verdict.claim))} · <code>{text(verdict.claim.id)}</code></p></div></li>'
    )


def _evidence(verdict: Verdict) -> list[str]:
    """What was found: the comparison that says least for the claim, how sure it is, what the paper's numbers say."""
    lines = []
    if pair := verdict.deciding:
        weakest = f" (the weakest of {len(verdict.pairs)} comparisons)" if len(verdict.pairs) > 1 else ""
        parts = [effect_text(pair) + weakest]
        if verdict.p is not None:
            holm = "" if verdict.p_holm is None else f" ({p_text(verdict.p_holm)} after Holm's correction)"
            parts.append(p_text(verdict.p) + holm)
        lines.append(", ".join([*parts, f"{verdict.n} {verdict.unit}"]))
    elif verdict.n:
        lines.append(f"{'all' if verdict.verdict == 'reproduced' else 'not all'} of {verdict.n} {verdict.unit}")
    lines += [f"{verdict.unit} needed: {line}" for line in needed_text(verdict)]
    if verdict.verdict == "incomplete":
        lines += [*verdict.missing, f"to complete it: {verdict.command}"]
    if not verdict.claim.place.is_ours:
        lines.append(f"as printed: {printed_text(verdict.printed)}")
    return lines


def _pair(pair: Pair) -> str:
    p = pair.asserted.p_for
    return effect_text(pair) + ("" if p is None else f", {p_text(p)}")


def _not_run(verdicts: Sequence[Verdict]) -> str:
    waiting: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.verdict == "not run":
            waiting.setdefault(verdict.command, []).append(verdict)
    if not waiting:
        return ""
    ours = [v.claim.place.is_ours for own in waiting.values() for v in own]
    counts = [(len(ours) - sum(ours), "claim"), (sum(ours), "question")]
    count = " and ".join(plural(number, what) for number, what in counts if number)
    items = "".join(
        f"<dt><code>{text(command)}</code></dt>"
        + "".join(f"<dd>{text(place_text(v.claim))}: {text(v.claim.text)}</dd>" for v in own)
        for command, own in waiting.items()
    )
    return f"<details class=waiting><summary>{count} not run</summary><dl>{items}</dl></details>"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
