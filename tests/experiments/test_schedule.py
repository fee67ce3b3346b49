"""The factors of the learning rate: their properties, torch's own schedulers, and how they stand in a suite."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmbench.experiments.schedule import Schedule
from cmbench.experiments.settings import TrainSettings
from cmbench.experiments.suite import load_suite

STEPS = st.integers(1, 400)
WARMUP = st.integers(0, 100) | st.floats(0, 0.9)
SHAPES = st.sampled_from(["cosine", "linear", "wsd"])


def shape(name, warmup, floor, decay):
    return Schedule(name=name, warmup=warmup, floor=floor, **({"decay": decay} if name == "wsd" else {}))


@given(SHAPES, STEPS, WARMUP, st.floats(0, 1), st.floats(0, 1))
def test_a_schedule_stays_in_the_unit_interval_and_ends_at_its_floor(name, steps, warmup, floor, decay):
    schedule = shape(name, warmup, floor, decay)
    factors = [schedule.factor(step, steps) for step in range(steps + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    length = warmup if warmup >= 1 else round(warmup * steps)
    if length < steps and (name != "wsd" or decay * steps > 0.5):
        assert factors[-1] == pytest.approx(floor, abs=1e-12)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


@given(st.sampled_from(["constant", "cosine", "linear", "wsd"]), STEPS, st.integers(1, 100), st.floats(0, 1))
def test_a_warm_up_rises_linearly_to_one(name, steps, warmup, floor):
    schedule = shape(name, warmup, floor, 0.2) if name != "constant" else Schedule(name=name, warmup=warmup)
    rise = [schedule.factor(step, steps) for step in range(min(warmup, steps) + 1)]
    gaps = [after - before for before, after in pairwise(rise)]
    if warmup < steps:
        assert rise[-1] == 1
        assert gaps == pytest.approx([1 / (warmup + 1)] * len(gaps))
    assert rise[0] == pytest.approx(1 / (warmup + 1))


@given(SHAPES, st.integers(50, 400), st.floats(0, 0.4), st.floats(0, 1), st.floats(0.2, 0.6))
def test_no_step_jumps(name, steps, warmup, floor, decay):
    schedule = shape(name, warmup, floor, decay)
    factors = [schedule.factor(step, steps) for step in range(steps + 1)]
    length = round(warmup * steps)
    falling = steps - length if name != "wsd" else min(round(decay * steps), steps - length)
    # The steepest slope of a cosine is π/2 times a line's.
    largest = max(1 / (length + 1), 1.58 / falling)
    assert max(abs(a - b) for a, b in pairwise(factors)) <= largest + 1e-12


def of_torch(made, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = made(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@settings(deadline=None)
@given(st.integers(2, 60), st.floats(0, 0.9), st.integers(1, 20))
def test_they_are_torchs_where_torch_has_the_same(steps, floor, warmup):
    library = torch.optim.lr_scheduler
    for schedule, made in (
        (Schedule(name="cosine", floor=floor), lambda o: library.CosineAnnealingLR(o, steps, eta_min=floor)),
        (Schedule(name="linear", floor=floor), lambda o: library.LinearLR(o, 1.0, floor, steps)),
        (Schedule(name="constant", warmup=warmup), lambda o: library.LinearLR(o, 1 / (warmup + 1), 1.0, warmup)),
        (Schedule(name="step", milestones=(3, 7), gamma=0.5), lambda o: library.MultiStepLR(o, [3, 7], 0.5)),
    ):
        ours = [schedule.factor(step, steps) for step in range(steps)]
        assert ours == pytest.approx(of_torch(made, steps), abs=1e-9), schedule.name


def test_milestones_count_epochs_where_there_are_some_and_a_warm_up_steps():
    schedule = Schedule(name="step", milestones=(2, 4), gamma=0.1, warmup=3)
    factors = [schedule.factor(10 * epoch, 60, epoch) for epoch in range(6)]
    assert factors == pytest.approx([1 / 4, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_share_of_warm_up_is_that_of_all_steps():
    share, steps = Schedule(name="cosine", warmup=0.1), Schedule(name="cosine", warmup=5)
    assert [share.factor(step, 50) for step in range(50)] == [steps.factor(step, 50) for step in range(50)]


@pytest.mark.parametrize(
    ("written", "document"),
    [
        ("constant", {"name": "constant", "milestones": [], "gamma": 0.1}),
        ({"name": "constant", "warmup": 9}, {"name": "constant", "warmup": 9, "milestones": [], "gamma": 0.1}),
        ("cosine", {"name": "cosine", "floor": 0.0}),
        ({"name": "wsd", "warmup": 0.1}, {"name": "wsd", "warmup": 0.1, "decay": 0.2, "floor": 0.0}),
        ({"name": "a.b:C", "max_lr": 0.1}, {"name": "a.b:C", "max_lr": 0.1}),
    ],
)
def test_a_schedule_stands_in_a_runs_identity_with_its_own_keys(written, document):
    settings = TrainSettings(workload="digits", epochs=1, batch_size=1, schedule=written)
    assert settings.document()["schedule"] == document
    assert Schedule.model_validate(document) == settings.schedule


def test_a_scheduler_class_is_for_training(tmp_path):
    line = "schedule={name: 'torch.optim.lr_scheduler:OneCycleLR', max_lr: 0.1}"
    suite = load_suite("digits", sets=[line])
    path = tmp_path / "again.yaml"
    path.write_text(suite.as_yaml())
    assert load_suite(str(path)).settings.schedule == suite.settings.schedule
    with pytest.raises(Exception, match=r"levy\.yaml: schedule: .* accepted on landscapes: a named schedule"):
        load_suite("levy", sets=[line])
