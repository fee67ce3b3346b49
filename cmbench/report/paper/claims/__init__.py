"""What the paper claims, and what we ask beside it, as data; `report/verdicts/` says whether it comes out."""

from cmbench.report.paper.claims import landscapes, ours, training
from cmbench.report.paper.claims.record import Claim, Of, Place

CLAIMS: tuple[Claim, ...] = tuple(
    sorted(
        (*landscapes.CLAIMS, *training.CLAIMS, *ours.QUESTIONS),
        key=lambda claim: (("table", "figure", "question").index(claim.place.kind), claim.place.number),
    )
)
"""Tables first, then figures, each by number; then questions of our own."""

__all__ = ["CLAIMS", "Claim", "Of", "Place"]
