"""What the paper claims, as data; `report/verdicts/` says whether it comes out."""

from cmbench.report.paper.claims import landscapes, training
from cmbench.report.paper.claims.record import Claim, Of, Place

CLAIMS: tuple[Claim, ...] = tuple(
    sorted((*landscapes.CLAIMS, *training.CLAIMS), key=lambda claim: (claim.place.kind != "table", claim.place.number))
)
"""Tables first, then figures, each by number."""

__all__ = ["CLAIMS", "Claim", "Of", "Place"]
