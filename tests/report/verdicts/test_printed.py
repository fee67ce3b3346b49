"""What the paper's own numbers say about its claims."""

from __future__ import annotations

import pytest

from cmbench.report.paper.claims import CLAIMS
from cmbench.report.verdicts.printed import as_printed


def printed(claim_id):
    return as_printed(next(claim for claim in CLAIMS if claim.id == claim_id))


@pytest.mark.parametrize(("claim", "verdict", "p"), [
    ("table2/cifar10/cm-over-baselines", "indistinguishable", 0.61),  # from Adam
    ("table2/cifar10/sam-cm-best", "indistinguishable", 0.11),  # from Adam+CM
    ("table2/cifar100/cm-best", "indistinguishable", 0.32),  # from Adam+CG
    ("table2/imagenet/cm-best", "holds", 0.013),
    ("figure15/cifar10/cm-over-meg", "indistinguishable", 0.32),
])  # fmt: skip
def test_printed_means_are_judged_by_their_spreads(claim, verdict, p):
    found = printed(claim)
    assert found.verdict == verdict
    assert found.p == pytest.approx(p, abs=0.006)


def test_means_without_spreads_have_an_order_and_no_verdict():
    found = printed("table1/levy/cm-flattest")
    assert (found.verdict, found.p, found.ordered) == ("no spread", None, True)
    assert printed("table5/cm-flatter-than-cg").ordered is True


def test_a_place_without_numbers_or_a_claim_of_equality_is_not_judged():
    assert printed("figure6/cm-reaches").verdict == "no numbers"
    assert printed("table3/cifar10/same-accuracy").verdict == "no numbers"
