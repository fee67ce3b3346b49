"""The training loop against the same training written out by hand, and against itself stopped and resumed."""

import dataclasses

import pytest
import torch

from cmbench.errors import UserError
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.training import trainer as trainer_module
from cmbench.training.seeding import generator, stream
from cmbench.training.trainer import Observer, train
from cmbench.workloads.registry import get_workload

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def workloads():
    loaded = {name: get_workload(name) for name in ("digits", "pydoc")}
    for workload in loaded.values():
        workload.load(CPU)
    return loaded


def spec_for(name, opt, *sets, seed=0):
    suite = load_suite(name, opts=[opt], sets=sets)
    return plan_training(suite, "data", [seed])[0]


@pytest.fixture
def files(tmp_path):
    return lambda suffix: tmp_path / f"run{suffix}"


def test_the_loop_is_plain_adam_over_shuffled_batches_with_a_stepped_learning_rate(workloads, files):
    digits = workloads["digits"]
    spec = spec_for("digits", "adam", "epochs=3", "schedule.milestones=[2]", "batch_size=100")
    measured = train(spec, digits, CPU, files)

    torch.manual_seed(stream(0, "weights"))
    model = digits.model()
    start = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.99))
    losses = []
    for epoch in range(3):
        if epoch == 2:
            optimizer.param_groups[0]["lr"] = 3e-4
        losses.append([])
        for chosen in torch.randperm(1437, generator=generator(0, "order", epoch)).split(100):
            optimizer.zero_grad()
            logits = model(digits.train_images[chosen])
            loss = torch.nn.functional.cross_entropy(logits, digits.train_labels[chosen])
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert measured.curves["train_loss"] == pytest.approx([sum(e) / len(e) for e in losses], rel=1e-4)
    assert measured.curves["lr"] == pytest.approx([3e-3, 3e-3, 3e-4])
    moved = sum(((p - s) ** 2).sum() for p, s in zip(model.parameters(), start, strict=True)).sqrt().item()
    assert measured.metrics["distance"] == pytest.approx(moved, rel=1e-4)
    assert measured.metrics["val_accuracy_final"] == pytest.approx(digits.evaluate(model).metric, abs=0.6)
    assert measured.metrics["val_accuracy_best"] == max(measured.curves["val_accuracy"])
    assert measured.cost.steps == 3 * 15


def test_one_seed_gives_every_optimizer_the_same_start_and_batches(workloads, files):
    first = [
        train(spec_for("digits", opt, "lr=0", "epochs=1"), workloads["digits"], CPU, files).curves["train_loss"]
        for opt in ("adam", "adam_cm", "sgd_sam")
    ]
    assert first[0] == first[1] == first[2]
    other = train(spec_for("digits", "adam", "lr=0", "epochs=1", seed=1), workloads["digits"], CPU, files)
    assert other.curves["train_loss"] != first[0]


def test_a_probe_costs_two_gradients_and_memory_costs_slots(workloads, files):
    digits = workloads["digits"]
    plain = train(spec_for("digits", "adam", "epochs=1"), digits, CPU, files).cost
    probed = train(spec_for("digits", "adam_sam_cm", "epochs=1"), digits, CPU, files).cost
    assert (plain.gradient_evaluations, probed.gradient_evaluations) == (23, 46)
    n = sum(p.numel() for p in digits.model().parameters())
    steps = 4 * len(list(digits.model().parameters()))
    ranking = 5 * (4 + 8) + 8
    assert plain.optimizer_state_bytes == 8 * n + steps
    assert probed.optimizer_state_bytes == (12 + 4 * 5) * n + steps + ranking


@pytest.mark.parametrize(("name", "opt"), [("digits", "adam_cm"), ("digits", "adam_sam_cg"), ("pydoc", "adam_sam_cm")])
@pytest.mark.parametrize("stop", [7, 23, 30])
def test_a_run_that_was_stopped_ends_bit_for_bit_like_one_that_was_not(
    name, opt, stop, workloads, tmp_path, monkeypatch
):
    workload = Shorter(workloads[name], 23)
    spec = spec_for(name, opt, "epochs=2", "schedule=constant", "checkpoint.every_steps=1")
    whole = train(spec, workload, CPU, lambda suffix: tmp_path / f"whole{suffix}")

    class Killed(BaseException):
        pass

    saves = []
    save = trainer_module.checkpoint.save

    def save_then_die(path, content):
        save(path, content)
        saves.append(path)
        if len(saves) == stop:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module.checkpoint, "save", save_then_die)
        with pytest.raises(Killed):
            train(spec, workload, CPU, lambda suffix: tmp_path / f"cut{suffix}")
    resumed = train(spec, workload, CPU, lambda suffix: tmp_path / f"cut{suffix}")
    assert (resumed.metrics, resumed.curves) == (whole.metrics, whole.curves)
    ends = [torch.load(tmp_path / f"{run}.pt", weights_only=True)["model"] for run in ("whole", "cut")]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.best.pt", "cut.pt", "whole.best.pt", "whole.pt"]


class Shorter:
    """A workload cut to a few batches per epoch, so that a test can stop everywhere in it."""

    def __init__(self, workload, batches):
        self._workload, self._batches = workload, batches

    def __getattr__(self, name):
        return getattr(self._workload, name)

    def steps_per_epoch(self, batch_size):
        return min(self._batches, self._workload.steps_per_epoch(batch_size))

    def batches(self, batch_size, order, start=0):
        for number, batch in enumerate(self._workload.batches(batch_size, order, start), start):
            if number >= self._batches:
                return
            yield batch


def test_divergence_ends_the_run_at_the_step_where_it_happened(workloads, files):
    spec = spec_for("digits", "sgd", "lr=1e9", "epochs=3")
    measured = train(spec, workloads["digits"], CPU, files)
    assert measured.status == "diverged"
    assert measured.diverged_step == 2  # the first loss is that of the start, the first step ruins it
    assert "step 2" in measured.error
    bounded = train(spec_for("digits", "sgd", "loss_bound=0.1"), workloads["digits"], CPU, files)
    assert (bounded.status, bounded.diverged_step) == ("diverged", 1)
    assert not files(".pt").exists()


def test_a_diverged_run_keeps_the_curves_it_had(workloads, files):
    digits = workloads["digits"]
    good = train(spec_for("digits", "sgd", "lr=1e-3", "epochs=1"), digits, CPU, files)
    # The second epoch's learning rate is a billion times larger.
    sets = ("lr=1e-3", "epochs=2", "schedule={name: step, milestones: [1], gamma: 1e12}")
    measured = train(spec_for("digits", "sgd", *sets), digits, CPU, files)
    assert (measured.status, measured.diverged_step) == ("diverged", 25)
    assert measured.curves == good.curves


def test_a_broken_checkpoint_is_named_and_force_ignores_it(workloads, files):
    spec = spec_for("digits", "adam", "epochs=1")
    files(".resume.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"run\.resume\.pt: not a checkpoint"):
        train(spec, workloads["digits"], CPU, files)
    assert train(spec, workloads["digits"], CPU, files, force=True).status == "completed"


def test_progress_reports_where_the_run_is(workloads, files):
    heard, ends = [], []

    class Listening(Observer):
        def progress(self, now):
            heard.append(now)

        def epoch_done(self, step, values):
            ends.append((step, values))

    spec = spec_for("digits", "adam", "epochs=2")
    curves = train(spec, workloads["digits"], CPU, files, observer=Listening()).curves
    assert [(step, values["val_accuracy"]) for step, values in ends] == list(
        zip((23, 46), curves["val_accuracy"], strict=True)
    )
    assert heard[-1].step == heard[-1].total_steps == 46
    assert [p.step for p in heard] == sorted({p.step for p in heard})
    assert heard[0].metric is None
    assert heard[-1].metric is not None
    assert {"loss", "epoch", "epochs"} < {field.name for field in dataclasses.fields(heard[0])}
