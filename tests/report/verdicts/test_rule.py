"""A claim is a conjunction: what makes it reproduced, contradicted, or neither."""

from __future__ import annotations

import numpy as np
import pytest

from cmbench.report.comparison import compare
from cmbench.report.verdicts.rule import Asserted, decide, decide_difference

SPREAD = (-1.2, -0.6, 0.0, 0.5, 1.3)


def differing_by(mean, scale=1.0, repeat=1):
    """Paired values whose difference has that mean."""
    return compare([mean + scale * value for value in SPREAD * repeat], [0.0] * len(SPREAD) * repeat)


SURE, WEAK, NONE = differing_by(3.0), differing_by(0.6), differing_by(0.0)


@pytest.mark.parametrize(("comparisons", "direction", "verdict"), [
    ([SURE], 1, "reproduced"), ([SURE], -1, "contradicted"), ([WEAK], 1, "inconclusive"), ([WEAK], -1, "inconclusive"),
    ([SURE, SURE, SURE], 1, "reproduced"), ([SURE, WEAK, SURE], 1, "inconclusive"),
    ([SURE, differing_by(-3.0)], 1, "contradicted"), ([NONE], 1, "inconclusive"),
])  # fmt: skip
def test_all_of_a_claim_has_to_hold(comparisons, direction, verdict):
    assert decide([Asserted(each, direction) for each in comparisons]).verdict == verdict


def test_the_largest_p_is_the_claims_and_that_of_a_wrong_direction_is_one():
    middle = differing_by(1.5)
    assert decide([Asserted(SURE, 1), Asserted(middle, 1)]).p == middle.p > SURE.p
    assert decide([Asserted(SURE, 1), Asserted(WEAK, -1)]).p == 1.0


def test_a_contradiction_has_to_survive_the_number_of_comparisons():
    against = next(c for mean in np.arange(-1.0, -3.0, -0.05) if (c := differing_by(mean)).p <= 0.05)
    assert decide([Asserted(against, 1)]).verdict == "contradicted"
    assert decide([Asserted(against, 1), Asserted(SURE, 1)]).verdict == "inconclusive"


def test_equivalence_is_shown_and_refuted_but_not_by_lack_of_evidence():
    assert decide([Asserted(differing_by(0.1, repeat=8), 0, 1.0)]).verdict == "reproduced"
    assert decide([Asserted(differing_by(0.1), 0, 0.3)]).verdict == "inconclusive"
    assert decide([Asserted(differing_by(3.0), 0, 1.0)]).verdict == "contradicted"


@pytest.mark.parametrize("pairs", [[(1.0, 0.0)] * 2, [(1.0, 0.0)] * 5])
def test_without_an_interval_there_is_no_verdict(pairs):
    x, y = zip(*pairs, strict=True)
    decision = decide([Asserted(compare(x, y), 1)])
    assert (decision.verdict, decision.p) == ("inconclusive", None)


def test_what_would_settle_it_is_what_the_weakest_needs():
    weaker = differing_by(0.3)
    assert decide([Asserted(WEAK, 1), Asserted(weaker, 1), Asserted(SURE, 1)]).needed == weaker.needed(0.05)
    assert decide([Asserted(SURE, 1), Asserted(differing_by(-0.6), 1)]).needed == differing_by(-0.6).needed(0.025)
    assert decide([Asserted(NONE, 1)]).needed is None
    assert decide([Asserted(SURE, 1)]).needed is None


def test_as_many_pairs_as_are_needed_show_an_equivalence():
    asserted = Asserted(differing_by(0.2), 0, 0.8)
    needed, rng = asserted.needed(0.05), np.random.default_rng(5)
    deviation = asserted.comparison.deviation
    shown = [
        decide([Asserted(compare(list(rng.normal(0.2, deviation, needed)), [0.0] * needed), 0, 0.8)]).verdict
        for _ in range(400)
    ]
    assert 0.72 < shown.count("reproduced") / 400 < 0.88


@pytest.mark.parametrize(("comparison", "margin", "verdict"), [
    (SURE, 0.1, "different"), (SURE, 100.0, "different"), (differing_by(-3.0), 0.1, "different"),
    (WEAK, 0.5, "inconclusive"), (NONE, 0.5, "inconclusive"), (NONE, 3.0, "alike"), (WEAK, 4.0, "alike"),
    (compare([1.0] * 5, [1.0] * 5), 0.1, "alike"), (compare([1.0] * 5, [0.0] * 5), 0.1, "inconclusive"),
    (compare([1.0, 1.1], [1.0, 1.1]), 0.1, "inconclusive"),
])  # fmt: skip
def test_a_question_without_a_direction_has_three_answers(comparison, margin, verdict):
    found = decide_difference(Asserted(comparison, 0, margin))
    assert (found.verdict, found.p) == (verdict, comparison.p)


def test_as_many_pairs_as_are_needed_answer_a_question():
    open_ = Asserted(differing_by(0.3), 0, 0.8)
    found = decide_difference(open_)
    assert found.verdict == "inconclusive"
    repeat = -(-found.needed // len(SPREAD))
    for more in (repeat, 4 * repeat):
        many = differing_by(0.3, repeat=more)
        assert decide_difference(Asserted(many, 0, 0.8)).verdict in ("alike", "different")
