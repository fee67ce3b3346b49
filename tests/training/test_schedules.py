"""The learning rate of every step of a run, against torch's schedulers driven by hand."""

import pytest
import torch

from cmbench.errors import UserError
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.training.interrupt import Interrupt
from cmbench.training.learner import Learner
from cmbench.training.trainer import train
from cmbench.workloads.registry import get_workload

CPU = torch.device("cpu")
ONE_CYCLE = "{name: 'torch.optim.lr_scheduler:OneCycleLR', max_lr: 0.01}"
MULTI = "{name: 'torch.optim.lr_scheduler:MultiStepLR', milestones: [5, 30], gamma: 0.5}"


@pytest.fixture(scope="module")
def digits():
    workload = get_workload("digits")
    workload.load(CPU)
    return workload


@pytest.fixture
def files(tmp_path):
    return lambda suffix: tmp_path / f"run{suffix}"


def spec_for(schedule, *sets, opt="adam_cm"):
    suite = load_suite("digits", opts=[opt], sets=["epochs=2", f"schedule={schedule}", *sets])
    return plan_training(suite, "data", [0])[0]


@pytest.fixture
def rates(monkeypatch):
    """The learning rate that each step is made with."""
    seen, step = [], Learner.step

    def watched(self, *arguments):
        seen.append(self.optimizer.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(Learner, "step", watched)
    return seen


def by_hand(made, lr=1e-3, steps=46):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, found = made(optimizer), []
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return found


@pytest.mark.parametrize(
    ("schedule", "made"),
    [
        ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 46)),
        ("{name: linear, floor: 0.1}", lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.1, 46)),
        (ONE_CYCLE, lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.01, 46)),
        ("'torch.optim.lr_scheduler:CosineAnnealingLR'", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 46)),
        (MULTI, lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [5, 30], 0.5)),
    ],
)
def test_every_step_has_the_rate_that_torch_gives_it(schedule, made, rates, digits, files):
    measured = train(spec_for(schedule, "lr=1e-3"), digits, CPU, files)
    assert rates == pytest.approx(by_hand(made), rel=1e-9)
    assert measured.curves["lr"] == [rates[22], rates[45]]


def test_max_steps_is_where_a_schedule_ends(rates, digits, files):
    train(spec_for("cosine", "lr=1e-3", "max_steps=10"), digits, CPU, files)
    assert rates == pytest.approx(by_hand(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10), steps=10))


def test_a_schedule_begins_anew_with_every_task(rates, tmp_path):
    workload = get_workload("digits_online")
    workload.load(CPU)
    suite = load_suite("digits_online", opts=["adam"], sets=["epochs=1", "schedule={name: linear, warmup: 2}"])
    spec = plan_training(suite, "data", [0])[0]
    measured = train(spec, workload, CPU, lambda suffix: tmp_path / f"run{suffix}")
    lr = spec.optimizer.hyperparameters["lr"]
    starts = [step for step, rate in enumerate(rates) if rate == pytest.approx(lr / 3, rel=1e-9)]
    assert len(starts) == len(measured.curves["task"])


@pytest.mark.parametrize("schedule", ["{name: wsd, warmup: 0.2}", ONE_CYCLE, MULTI])
def test_a_run_that_was_stopped_goes_on_with_its_schedule(schedule, rates, digits, tmp_path):
    class Stops(Interrupt):
        requested = True

    spec = spec_for(schedule, "checkpoint.every_steps=7")
    whole = train(spec, digits, CPU, lambda suffix: tmp_path / f"whole{suffix}")
    whole_rates = list(rates)
    rates.clear()
    parts = [train(spec, digits, CPU, lambda suffix: tmp_path / f"cut{suffix}", interrupt=Stops()) for _ in range(4)]
    assert parts[0].cost.steps < parts[1].cost.steps < 46
    part = train(spec, digits, CPU, lambda suffix: tmp_path / f"cut{suffix}")
    assert rates == whole_rates
    assert (part.metrics, part.curves) == (whole.metrics, whole.curves)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("'nowhere:Rate'", "'nowhere:Rate' cannot be imported: ModuleNotFoundError"),
        ("'torch.optim.lr_scheduler:Nothing'", "has no 'Nothing'"),
        ("'torch.optim:Adam'", "accepted: a subclass of LRScheduler"),
        ("'torch.optim.lr_scheduler:ReduceLROnPlateau'", "stepped without a metric"),
        ("{name: 'torch.optim.lr_scheduler:OneCycleLR', maxlr: 1}", "unknown argument 'maxlr': accepted: max_lr"),
        ("{name: 'torch.optim.lr_scheduler:OneCycleLR', max_lr: 1, pct_start: 7}", "ValueError: "),
    ],
)
def test_what_is_no_scheduler_is_refused(schedule, words, digits, files):
    with pytest.raises(UserError, match=words):
        train(spec_for(schedule), digits, CPU, files)
