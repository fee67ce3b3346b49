"""Axes and spaces: how they are written, what lies on them, and that every setting drawn is one that a run accepts."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmbench.errors import UserError
from cmbench.experiments import yaml
from cmbench.experiments.sweep.axes import Choice, Range, axis_of
from cmbench.experiments.sweep.space import Space
from cmbench.optim.registry import HYPERPARAMETERS

numbers = st.floats(1e-6, 1e3).map(lambda value: float(f"{value:.4g}"))
pairs = st.tuples(numbers, numbers).map(sorted).filter(lambda ends: ends[1] > ends[0] * 1.01)
integers = st.tuples(st.integers(1, 300), st.integers(1, 300)).map(sorted).filter(lambda ends: ends[0] < ends[1])
axes = st.one_of(
    st.lists(numbers, min_size=1, max_size=5, unique=True),
    pairs.map(lambda ends: {"log": ends}),
    pairs.map(lambda ends: {"uniform": ends}),
    st.tuples(numbers, st.integers(1, 9), st.integers(1, 9)).map(
        lambda each: {"uniform": [each[0], each[0] + each[1] * each[2]], "step": each[1]}
    ),
    integers.map(lambda ends: {"int": ends}),
    integers.map(lambda ends: {"int": ends, "log": True}),
    st.tuples(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9)).map(
        lambda each: {"int": [each[0], each[0] + each[1] * each[2]], "step": each[1]}
    ),
)
shares = st.floats(0, 1, exclude_max=True)


def axis(written):
    return axis_of(written, "mine.yaml: space.lr")


@given(axes, st.lists(shares, min_size=1, max_size=5))
def test_what_is_drawn_lies_on_the_axis_and_stays_what_it_is(written, drawn):
    made = axis(written)
    for value in map(made.at, drawn):
        if isinstance(made, Choice):
            assert value in written
        else:
            assert made.low <= value <= made.high
            assert made.nearest(value) == value
            assert isinstance(value, int) == (made.scale == "int")
        if made.listed() is not None:
            assert value in made.listed()


@given(axes)
def test_an_axis_reads_as_it_is_written(written):
    made = axis(written)
    assert axis_of(yaml.parse(yaml.dump(made.document()), "axis"), "place") == made


@given(st.lists(axes.filter(lambda each: axis(each).listed() is not None), min_size=1, max_size=3))
def test_a_space_has_as_many_settings_as_the_product_of_its_axes(written):
    listed = {f"axis{i}": axis(each) for i, each in enumerate(written)}
    space = Space(listed)
    size = math.prod(len(each.listed()) for each in listed.values())
    assert space.size == size
    if size < 3000:
        settings = [tuple(setting.values()) for setting in space.settings()]
        assert settings == list(itertools.product(*(each.listed() for each in listed.values())))
        assert len(set(settings)) == size


def test_ranges_are_even_on_their_scale():
    log, uniform, whole = axis({"log": [1e-4, 1]}), axis({"uniform": [0, 10]}), axis({"int": [1, 4]})
    assert [log.at(u) for u in (0, 0.25, 0.5, 0.75)] == [1e-4, 1e-3, 1e-2, 1e-1]
    assert [uniform.at(u) for u in (0, 0.25, 0.5)] == [0, 2.5, 5]
    assert [whole.at(u) for u in (0, 0.24, 0.26, 0.51, 0.76, 0.99)] == [1, 1, 2, 3, 4, 4]
    assert [axis({"uniform": [0.1, 0.5], "step": 0.2}).at(u) for u in (0, 0.34, 0.99)] == [0.1, 0.3, 0.5]
    powers = [axis({"int": [1, 100], "log": True}).at(u / 1000) for u in range(1000)]
    assert sum(value <= 10 for value in powers) / 1000 == pytest.approx(
        math.log(10.5 / 0.5) / math.log(100.5 / 0.5), abs=2e-3
    )


def test_a_space_without_an_end_has_no_size():
    space = Space({"lr": axis({"log": [1e-4, 1]}), "capacity": axis([5, 10])})
    assert space.size is None
    with pytest.raises(ValueError, match="lr"):
        next(space.settings())


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ([], "accepted: a list of values, {log: [a, b]}"),
        (0.1, "0.1: accepted: a list"),
        ([0.1, 0.1], "given twice"),
        ({"lgo": [1, 2]}, "did you mean 'log'"),
        ({"log": [0, 1]}, "a logarithmic range of numbers > 0"),
        ({"log": [1, 0.1]}, "low < high"),
        ({"log": [1, 2], "step": 1}, "unknown key 'step'"),
        ({"uniform": [0, 1], "stp": 1}, "did you mean 'step'"),
        ({"uniform": [0, 1], "step": 0.3}, "divides high − low"),
        ({"int": [1, 2.5]}, "two integers"),
        ({"int": [1, 9], "step": 2, "log": True}, "step or log, not both"),
        ({"int": [1, 9], "log": "yes"}, "log: true or false"),
        ({"uniform": ["a", "b"]}, "two numbers"),
    ],
)
def test_a_refused_axis_is_explained(written, words):
    with pytest.raises(UserError) as refusal:
        axis(written)
    assert words in str(refusal.value)
    assert str(refusal.value).startswith("mine.yaml: space.lr")


def test_values_between_the_ends_are_checked_as_well():
    probes = axis({"uniform": [5, 20]}).probes
    assert any(probe != int(probe) for probe in probes)
    with pytest.raises(ValueError, match="an integer"):
        HYPERPARAMETERS["capacity"].validated(probes[0])
    assert all(isinstance(probe, int) for probe in axis({"int": [5, 20]}).probes)
    assert isinstance(axis({"log": [1, 2]}), Range)
