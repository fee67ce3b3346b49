"""YAML that no person writes: it is refused in a sentence, at once."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmbench.errors import UserError
from cmbench.experiments import yaml

BOMB = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x: !!int y", "f.yaml:1: not valid YAML: invalid literal"),
        ("x: 1\ny: 2020-13-45", "f.yaml:2: not valid YAML: month must be"),
        ("? [a, b]\n: 3", "f.yaml:1: not valid YAML: a key is a text or a number"),
        ("x: " + "[" * 900 + "]" * 900, "nested more than 50 deep"),
        ("x: " + "9" * 5000, "4300 digits"),
        (BOMB, "more than 100,000 values"),
        ("x: &a [*a]", "a value that holds itself"),
        ("x: *a", "undefined alias"),
        ("x: " + "y" * 1_000_001, "1,000,004 characters: accepted: at most 1,000,000"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
    ids=["tag", "date", "key", "depth", "digits", "bomb", "loop", "alias", "length", "object"],
)
def test_what_no_person_writes_is_refused_at_once(text, problem):
    began = time.perf_counter()
    with pytest.raises(UserError, match=r"f\.yaml") as refused:
        yaml.parse(text, "f.yaml")
    assert problem in str(refused.value)
    assert time.perf_counter() - began < 5


def test_anchors_as_people_use_them_are_kept():
    text = "base: &base {lr: 1e-3, betas: &b [0.9, 0.99]}\none: *base\ntwo: {<<: *base, lr: 1}\nthree: *b\n"
    assert yaml.parse(text, "f.yaml") == {
        "base": {"lr": 1e-3, "betas": [0.9, 0.99]},
        "one": {"lr": 1e-3, "betas": [0.9, 0.99]},
        "two": {"lr": 1, "betas": [0.9, 0.99]},
        "three": [0.9, 0.99],
    }


TEXTS = st.text(st.characters(exclude_categories=("C", "Z")))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_whatever_is_dumped_is_read_again(value):
    assert yaml.parse(yaml.dump(value), "f.yaml") == value


@settings(max_examples=300)
@given(st.text(alphabet="ab:-[]{},&*!?|>\"'\\# \n\t0129.e~<%@`", max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(UserError):
        yaml.parse(text, "f.yaml")
