"""Verdicts as JSON, and the schema of that document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cmbench.report.verdicts.judge import Name, Pair, Verdict

SCHEMA: Literal["cmbench.claims/1"] = "cmbench.claims/1"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Printed(_Record):
    """What the paper's own numbers say: Welch's test on the printed means and spreads of five seeds."""

    verdict: Literal["holds", "indistinguishable", "contradicted", "no spread", "no numbers"]
    p: float | None
    ordered: bool | None = Field(description="whether the printed means have the claimed order")


class PairDocument(_Record):
    """One comparison: the mean of `better` less that of `worse`, with its 95 % interval."""

    better: str
    worse: str
    measure: str = Field(description="which of several columns, e.g. s=20; empty where there is one")
    effect: float
    interval: tuple[float, float] | None
    p: float | None = Field(
        description="of what the claim asserts, or that a question's two are alike; 1 where the difference points the "
        "other way"
    )
    n: int = Field(description="pairs: seeds or starts that both have")


class ClaimDocument(_Record):
    """A claim and what comes of it."""

    id: str
    place: str
    text: str
    suite: str
    metric: str
    as_printed: Printed
    pairs: tuple[PairDocument, ...]
    p: float | None = Field(description="the largest of the pairs'; of a question, that there is no difference")
    p_holm: float | None = Field(
        description="p after Holm's correction over all claims here that were run; questions by themselves"
    )
    verdict: Name = Field(description="`different` and `alike` answer a question of our own, the others judge a claim")
    needed: int | None = Field(description="units that would settle an inconclusive claim with 80 % power")
    n: int
    unit: Literal["seeds", "starts", "values"]
    missing: tuple[str, ...]
    command: str = Field(description="what runs or completes it")


class ClaimsDocument(_Record):
    """`cmbench report --claims --format json`."""

    schema_: Literal["cmbench.claims/1"] = Field(default=SCHEMA, alias="schema")
    claims: tuple[ClaimDocument, ...]


def render_claims_json(verdicts: Sequence[Verdict]) -> str:
    """The document that `ClaimsDocument` describes."""
    document = ClaimsDocument(claims=tuple(map(_claim, verdicts)))
    return document.model_dump_json(by_alias=True, indent=1) + "\n"


def _claim(v: Verdict) -> ClaimDocument:
    unit: Any = v.unit
    return ClaimDocument(
        id=v.claim.id,
        place=v.claim.place.text,
        text=v.claim.text,
        suite=v.claim.suite,
        metric=v.claim.metric,
        as_printed=Printed(verdict=v.printed.verdict, p=v.printed.p, ordered=v.printed.ordered),
        pairs=tuple(map(_pair, v.pairs)),
        p=v.p,
        p_holm=v.p_holm,
        verdict=v.verdict,
        needed=v.needed,
        n=v.n,
        unit=unit,
        missing=v.missing,
        command=v.command,
    )


def _pair(pair: Pair) -> PairDocument:
    c = pair.comparison
    return PairDocument(
        better=pair.better,
        worse=pair.worse,
        measure=pair.measure,
        effect=c.effect,
        interval=c.interval,
        p=pair.asserted.p_for,
        n=c.n,
    )
