"""The moving average of the weights, against the same average of the weights after every step."""

import pytest
import torch
from torch import nn

from cmbench.errors import UserError
from cmbench.experiments.plan import plan_training
from cmbench.experiments.settings import AverageSettings
from cmbench.experiments.suite import load_suite
from cmbench.training.average import Average
from cmbench.training.interrupt import Interrupt
from cmbench.training.learner import Learner
from cmbench.training.processes import Processes
from cmbench.training.trainer import train
from cmbench.workloads.registry import get_workload

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def workloads():
    loaded = {name: get_workload(name) for name in ("digits", "digits_online")}
    for workload in loaded.values():
        workload.load(CPU)
    return loaded


def spec_for(*sets, name="digits", opt="adam_cm"):
    sets = ("epochs=2", "schedule=constant", *sets)
    return plan_training(load_suite(name, opts=[opt], sets=sets), "data", [0])[0]


def test_weights_and_running_statistics_are_averaged_and_counters_copied():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(AverageSettings(decay=0.75, from_step=2), model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    expected = None
    for step in range(1, 7):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
        average.follow(step)
        assert average.has_begun == (step > 2)
        state = {name: value.double() for name, value in model.state_dict().items()}
        if step == 3:
            expected = state
        elif step > 3:
            expected = {name: 0.75 * expected[name] + 0.25 * value for name, value in state.items()}
    expected["1.num_batches_tracked"] = torch.tensor(6.0)
    for name, value in average.model.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name].double(), rtol=1e-5, atol=1e-6)


def test_a_run_evaluates_the_average_of_the_weights_after_every_step(workloads, tmp_path, monkeypatch):
    weights, step = [], Learner.step

    def watched(self, *arguments):
        done = step(self, *arguments)
        weights.append({name: value.clone() for name, value in self.model.state_dict().items()})
        return done

    monkeypatch.setattr(Learner, "step", watched)
    digits = workloads["digits"]
    spec = spec_for("average={decay: 0.9, from_step: 5}")
    measured = train(spec, digits, CPU, lambda suffix: tmp_path / f"run{suffix}")
    expected = weights[5]
    for later in weights[6:]:
        expected = {name: 0.9 * expected[name] + 0.1 * value for name, value in later.items()}
    model = digits.model()
    model.load_state_dict(expected)
    by_hand = digits.evaluate(model)
    assert measured.curves["val_loss_average"][-1] == pytest.approx(by_hand.loss, rel=1e-4)
    assert measured.metrics["val_accuracy_average_final"] == pytest.approx(by_hand.metric, abs=0.3)
    assert measured.metrics["val_accuracy_average_best"] == max(measured.curves["val_accuracy_average"])
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    for name, value in expected.items():
        torch.testing.assert_close(saved["average"][name], value, rtol=1e-4, atol=1e-5)


def test_an_average_changes_nothing_else(workloads, tmp_path):
    without, beside = (
        train(spec_for(*sets), workloads["digits"], CPU, lambda suffix: tmp_path / f"run{suffix}")
        for sets in ((), ("average=0.9",))
    )
    assert without.curves == {name: beside.curves[name] for name in without.curves}
    assert set(beside.curves) - set(without.curves) == {"val_loss_average", "val_accuracy_average"}


def test_there_is_no_average_before_it_begins(workloads, tmp_path):
    spec = spec_for("average={from_step: 23}")
    measured = train(spec, workloads["digits"], CPU, lambda suffix: tmp_path / f"run{suffix}")
    first, second = measured.curves["val_accuracy_average"]
    assert (first, second) == (None, measured.metrics["val_accuracy_average_best"])


def test_a_stream_has_the_learning_accuracy_of_the_average(workloads, tmp_path):
    spec = spec_for("average=0.9", name="digits_online")
    measured = train(spec, workloads["digits_online"], CPU, lambda suffix: tmp_path / f"run{suffix}")
    ends = measured.curves["val_accuracy_average"][1::2]
    assert measured.metrics["learning_accuracy_average"] == pytest.approx(sum(ends) / len(ends))


@pytest.mark.parametrize("average", ["0.9", "{decay: 0.9, from_step: 20}", "{from_step: 30}"])
def test_a_run_that_was_stopped_ends_with_the_same_average_bit_for_bit(average, workloads, tmp_path):
    class Stops(Interrupt):
        requested = True

    digits, spec = workloads["digits"], spec_for(f"average={average}", "checkpoint.every_steps=9")
    whole = train(spec, digits, CPU, lambda suffix: tmp_path / f"whole{suffix}")
    for _ in range(4):
        train(spec, digits, CPU, lambda suffix: tmp_path / f"cut{suffix}", interrupt=Stops())
    resumed = train(spec, digits, CPU, lambda suffix: tmp_path / f"cut{suffix}")
    assert (resumed.metrics, resumed.curves) == (whole.metrics, whole.curves)
    ends = [torch.load(tmp_path / f"{run}.pt", weights_only=True)["average"] for run in ("whole", "cut")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_short_form_and_what_is_refused(workloads):
    assert spec_for("average=0.99").settings == spec_for("average.decay=0.99").settings
    assert spec_for("average=0.99", "average.from_step=3").settings.average == AverageSettings(decay=0.99, from_step=3)
    for wrong in ("average=1.0", "average.decay=-1", "average.from_step=1.5"):
        with pytest.raises(UserError, match=r"digits\.yaml: average\."):
            spec_for(wrong)
    with pytest.raises(UserError, match="average does not go with parallel fsdp"):
        Learner(spec_for("average=0.9", "parallel=fsdp"), workloads["digits"], CPU, Processes(0, 2))


def test_a_table_shows_the_average_where_it_is_there(cmbench):
    line = ("train", "--suite", "digits", "--opt", "adam", "--seeds", "1", "--set", "epochs=1", "--quiet")
    line += ("--set", "schedule=constant")
    cmbench(*line)
    cmbench(*line, "--set", "average=0.5", "--out", "other")
    column = "val_accuracy_average_final"
    assert column not in cmbench("report", "--format", "csv").stdout
    assert column in cmbench("report", "--format", "csv", "--out", "other").stdout
