"""Settings as texts: told apart wherever they differ, equal wherever they are equal."""

import pytest

from cmbench.experiments.text import canonical, printable, value_text

VALUES = [0.1, 0.1000000001, (0.9, 0.999), (0.9, 0.9999), 1e-5, None, 5, "fifo"]


@pytest.mark.parametrize("compact", [False, True])
def test_different_values_have_different_texts(compact):
    assert len({value_text(value, compact=compact) for value in VALUES}) == len(VALUES)


def test_a_compact_text_has_neither_brackets_nor_spaces():
    texts = [value_text(value, compact=True) for value in VALUES]
    assert not any(character in text for text in texts for character in " []")
    assert texts[2:6] == ["0.9,0.999", "0.9,0.9999", "1e-05", "none"]
    assert value_text((0.9, 0.999)) == "[0.9, 0.999]"


def test_the_order_of_keys_and_the_kind_of_list_make_no_difference():
    assert canonical({"a": (1, 2), "b": None}) == canonical({"b": None, "a": [1, 2]})
    assert canonical({"a": 1}) != canonical({"a": 2})


def test_marks_of_direction_are_shown():
    assert printable("a\u061cb\u202ec\u200fd") == "a\\u061cb\\u202ec\\u200fd"
