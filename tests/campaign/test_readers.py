"""The campaign's attacks on readers of data, a few tries of each."""

import itertools
import random

import pytest

from tests.campaign.readers import ATTACKS


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.partition(": ")[2])
def test_a_few_mutated_files_are_read_or_refused(attack, tmp_path):
    outcomes = itertools.islice(attack.run(random.Random(0), tmp_path), 5)
    assert [outcome.lost for outcome in outcomes if outcome.lost] == []
