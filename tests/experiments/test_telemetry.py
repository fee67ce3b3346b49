"""What a run has recorded answers what is asked for, at every epoch where it is due, or it is run again."""

from hypothesis import given
from hypothesis import strategies as st

from cmbench.experiments.settings import TelemetrySettings

SETTINGS = st.builds(
    TelemetrySettings,
    gradient_norm=st.booleans(),
    buffer=st.booleans(),
    sharpness_every=st.none() | st.integers(1, 12),
    sharpness_examples=st.sampled_from([100, 500]),
)


def recorded(settings, epochs):
    """By brute force: everything that a run with these settings records."""
    every = settings.sharpness_every
    due = {
        ("sharpness", epoch, settings.sharpness_examples)
        for epoch in range(1, epochs + 1)
        if every and epoch % every == 0
    }
    return {name for name in ("gradient_norm", "buffer") if getattr(settings, name)} | due


@given(SETTINGS, SETTINGS, st.integers(1, 40))
def test_covering_is_to_have_recorded_all_that_is_due(one, other, epochs):
    if one.covers(other, epochs):
        assert recorded(other, epochs) <= recorded(one, epochs)
    elif epochs >= 12:  # what is due only once may also be met by chance
        assert not recorded(other, epochs) <= recorded(one, epochs)


@given(SETTINGS, SETTINGS, st.integers(1, 40))
def test_together_they_answer_the_first_and_what_of_the_other_is_measured_alike(one, other, epochs):
    both = one.together_with(other)
    assert both.covers(one, epochs)
    if one.sharpness_examples == other.sharpness_examples or not one.sharpness_every:
        assert both.covers(other, epochs)


def test_what_was_never_due_is_no_answer_to_what_is():
    rare, often = TelemetrySettings(sharpness_every=20), TelemetrySettings(sharpness_every=2)
    assert not rare.covers(often, 12)
    assert often.covers(rare, 12)
    assert TelemetrySettings().covers(rare, 12)
    assert not TelemetrySettings().covers(rare, 20)


def test_what_a_foreign_result_says_of_telemetry_is_nothing():
    for environment in ({}, {"telemetry": {"unknown": 1}}, {"telemetry": "all"}, {"telemetry": None}):
        assert TelemetrySettings.of_environment(environment) == TelemetrySettings()
