"""The training loop against the same training written out by hand, and against itself stopped and resumed."""

import dataclasses

import pytest
import torch

from cmbench.experiments.plan import plan_training
from cmbench.experiments.seeding import derived_seed, generator
from cmbench.experiments.suite import load_suite
from cmbench.optim import create_optimizer
from cmbench.training import checkpoint
from cmbench.training.interrupt import Interrupt
from cmbench.training.observer import Gauge, Observer
from cmbench.training.trainer import train
from cmbench.workloads.registry import get_workload

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def workloads():
    loaded = {name: get_workload(name) for name in ("digits", "pydoc", "digits_online")}
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
    spec = spec_for("digits", "adam", "epochs=3", "schedule.milestones=[2]", "batch_size=100", "lr=3e-3")
    measured = train(spec, digits, CPU, files)

    torch.manual_seed(derived_seed(0, "weights"))
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
            logits = model(digits.train_inputs[chosen])
            loss = torch.nn.functional.cross_entropy(logits, digits.train_targets[chosen])
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


EVERYTHING = "telemetry={gradient_norm: true, buffer: true}"


STOPS = (7, 23, 30)
STOPPED = [
    *(("digits", "adam_cm", (), stop) for stop in STOPS),
    *(("digits", "adam_cm", (EVERYTHING, "clip_norm=1", "precision=bf16"), stop) for stop in STOPS),
    *(("digits", "adam_sam_cg", ("precision=fp16", EVERYTHING), stop) for stop in STOPS),
    ("pydoc", "adam_sam_cm", (), 30),
    ("pydoc", "adam_cg", ("accumulate=3", EVERYTHING), 23),
    *(("digits_online", "adam_cm", ("batch_size=64", EVERYTHING), stop) for stop in STOPS),
]
"""Everywhere before, at and after the end of the first epoch; where steps are slow, once."""


@pytest.mark.parametrize(
    ("name", "opt", "sets", "stop"),
    [pytest.param(*case, marks=[] if case[3] == 23 and case[1] == "adam_cm" else pytest.mark.long) for case in STOPPED],
)
def test_a_run_that_was_stopped_ends_bit_for_bit_like_one_that_was_not(
    name, opt, sets, stop, workloads, tmp_path, monkeypatch
):
    workload = workloads[name] if name == "digits_online" else Shorter(workloads[name], 23)
    spec = spec_for(name, opt, "epochs=2", "schedule=constant", "checkpoint.every_steps=1", *sets)
    whole = train(spec, workload, CPU, lambda suffix: tmp_path / f"whole{suffix}")

    class Killed(BaseException):
        pass

    saves = []
    save = checkpoint.save

    def save_then_die(path, content):
        save(path, content)
        saves.append(path)
        if len(saves) == stop:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        with pytest.raises(Killed):
            train(spec, workload, CPU, lambda suffix: tmp_path / f"cut{suffix}")
    resumed = train(spec, workload, CPU, lambda suffix: tmp_path / f"cut{suffix}")
    assert (resumed.metrics, resumed.curves) == (whole.metrics, whole.curves)
    ends = [torch.load(tmp_path / f"{run}.pt", weights_only=True)["model"] for run in ("whole", "cut")]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    suffixes = [".pt", ".resume.pt", *([] if name == "digits_online" else [".best.pt"])]  # until its result is stored
    assert {p.name for p in tmp_path.iterdir()} == {f"{run}{suffix}" for run in ("whole", "cut") for suffix in suffixes}


class Shorter:
    """A workload cut to a few batches per epoch, so that a test can stop everywhere in it."""

    def __init__(self, workload, batches):
        self._workload, self._batches = workload, batches

    def __getattr__(self, name):
        return getattr(self._workload, name)

    @property
    def tasks(self):
        return (self,)

    def steps_per_epoch(self, batch_size):
        return min(self._batches, self._workload.steps_per_epoch(batch_size))

    def batches(self, batch_size, order, start=0, *rest):
        for number, batch in enumerate(self._workload.batches(batch_size, order, start, *rest), start):
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


def test_progress_reports_where_the_run_is(workloads, files):
    heard, ends = [], []

    class Listening(Observer):
        def progress(self, now):
            heard.append(now)

        def epoch_done(self, step, epoch, values):
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


@pytest.mark.parametrize(("before", "after", "restarts"), [((), (EVERYTHING,), True), ((EVERYTHING,), (), False)])
def test_telemetry_may_change_while_a_run_is_stopped_and_its_curves_have_no_holes(
    before, after, restarts, workloads, files
):
    class Stops(Interrupt):
        requested = True

    class Heard(Observer):
        steps, remarks = (), ()

        def started(self, step, total_steps):
            self.steps = (*self.steps, step)

        def remark(self, text):
            self.remarks = (*self.remarks, text)

    sets = ("epochs=3", "schedule=constant", "checkpoint.every_steps=30")
    digits, heard = workloads["digits"], Heard()
    for _ in range(2):  # the first time within the first epoch, then after a reading of it
        spec = spec_for("digits", "adam_cm", *sets, *before)
        stopped = train(spec, digits, CPU, files, observer=heard, interrupt=Stops())
        assert stopped.status == "interrupted"
    measured = train(spec_for("digits", "adam_cm", *sets, *after), digits, CPU, files, observer=heard)
    assert measured.status == "completed"
    assert (heard.steps[2] == 0) == restarts
    assert heard.steps[1] > 0
    assert heard.remarks == ("its checkpoint lacks what the telemetry asks for: from the beginning",) * restarts
    assert measured.environment["telemetry"] == {"gradient_norm": True, "buffer": True}
    recorded = ["gradient_norm", "buffer_variance", "buffer_accepted"]
    assert all(len(measured.curves[name]) == 3 and None not in measured.curves[name] for name in recorded)


@pytest.mark.parametrize(("opt", "auto"), [("adam_cm", "fused"), ("adam_sam", "fused"), ("rmsprop", None)])
def test_a_resumed_run_keeps_its_implementation(opt, auto, workloads, files):
    class Stops(Interrupt):
        requested = True

    def spec(implementation):
        return spec_for("digits", opt, "epochs=1", "schedule=constant", f"implementation={implementation}")

    digits = workloads["digits"]
    whole = train(spec("plain"), digits, CPU, lambda suffix: files(f"-whole{suffix}"))
    assert whole.environment["implementation"] == "plain"
    train(spec("plain"), digits, CPU, files, interrupt=Stops())
    resumed = train(spec("auto"), digits, CPU, files)
    assert resumed.environment["implementation"] == "plain"
    assert resumed.curves == whole.curves
    by_itself = train(spec("auto"), digits, CPU, files, resume=False)
    assert by_itself.environment.get("implementation") == auto


def test_a_run_is_interrupted_after_an_evaluation_too(workloads, files):
    class DuringTheFirst(Interrupt):
        requested = False

    interrupt = DuringTheFirst()

    def interrupts(model, task, processes):
        interrupt.requested = True
        return 0.0

    spec, digits = spec_for("digits", "adam", "epochs=3", "schedule=constant"), workloads["digits"]
    whole = train(spec, digits, CPU, lambda suffix: files(f"-whole{suffix}"))
    stopped = train(spec, digits, CPU, files, gauges=lambda *_: {"gauge": Gauge(1, interrupts)}, interrupt=interrupt)
    assert (stopped.status, stopped.cost.steps) == ("interrupted", 23)
    resumed = train(spec, digits, CPU, files)
    assert {key: resumed.curves[key] for key in whole.curves} == whole.curves
    assert resumed.curves["gauge"] == [0.0, None, None]


def test_a_stream_that_was_cut_short_has_no_learning_accuracy(workloads, files):
    spec = spec_for("digits_online", "adam", "max_steps=12")
    measured = train(spec, workloads["digits_online"], CPU, files)
    assert measured.status == "completed"
    assert "learning_accuracy" not in measured.metrics


def test_the_best_weights_are_kept_beside_the_last(workloads, files):
    digits = workloads["digits"]
    # The second epoch's learning rate ruins what the first has learnt.
    sets = ("epochs=2", "schedule={name: step, milestones: [1], gamma: 300}")
    measured = train(spec_for("digits", "adam", *sets), digits, CPU, files)
    assert measured.metrics["epoch_best"] == 1
    for suffix, metric in ((".best.pt", "val_accuracy_best"), (".pt", "val_accuracy_final")):
        model = digits.model()
        model.load_state_dict(torch.load(files(suffix), weights_only=True)["model"])
        assert digits.evaluate(model).metric == measured.metrics[metric]
    assert measured.metrics["val_accuracy_best"] > measured.metrics["val_accuracy_final"]
    files(".best.pt").unlink()
    train(spec_for("digits", "adam", "epochs=1", "checkpoint.keep_best=false"), digits, CPU, files)
    assert not files(".best.pt").exists()


@pytest.mark.parametrize("steps", [10, 23, 30])
def test_a_run_may_be_limited_to_a_number_of_steps(steps, workloads, files):
    measured = train(spec_for("digits", "adam_cm", f"max_steps={steps}"), workloads["digits"], CPU, files)
    assert (measured.status, measured.cost.steps) == ("completed", steps)
    assert len(measured.curves["epoch"]) == -(-steps // 23)


def test_a_checkpoint_is_written_every_so_many_minutes(workloads, files, monkeypatch):
    saved = []
    monkeypatch.setattr(checkpoint, "save", lambda path, content: saved.append(path.name))
    sets = (
        "epochs=3",
        "schedule=constant",
        "checkpoint={every_minutes: 1.0e-9, every_steps: 100000, keep_best: false}",
    )
    train(spec_for("digits", "adam", *sets), workloads["digits"], CPU, files)
    assert saved.count("run.resume.pt") >= 3
    assert saved[-1] == "run.pt"


@pytest.mark.long
def test_a_resumed_run_goes_on_with_the_threads_that_it_began_with(workloads, files, monkeypatch):
    begun, seen = torch.get_num_threads(), []
    spec = spec_for("digits", "adam", "epochs=1", "checkpoint.every_steps=5")

    class Killed(BaseException):
        pass

    class Dies(Observer):
        def progress(self, now):
            if now.step > 5:
                raise Killed

    class Looks(Observer):
        def progress(self, now):
            seen.append(torch.get_num_threads())

    try:
        torch.set_num_threads(begun + 1)
        with pytest.raises(Killed):
            train(spec, workloads["digits"], CPU, files, observer=Dies())
        torch.set_num_threads(begun)
        train(spec, workloads["digits"], CPU, files, observer=Looks())
        assert set(seen) == {begun + 1}
        assert torch.get_num_threads() == begun
    finally:
        torch.set_num_threads(begun)


def test_telemetry_records_and_changes_nothing(workloads, files):
    digits = workloads["digits"]
    spec = spec_for("digits", "adam_cm", "epochs=3", "schedule=constant", "decay=0.9")
    watched = spec_for("digits", "adam_cm", "epochs=3", "schedule=constant", "decay=0.9", EVERYTHING)
    assert watched.id == spec.id
    plain = train(spec, digits, CPU, files)
    gauge = Gauge(2, lambda model, task, _: torch.rand(()).item() + model(task.valid_inputs[:1]).numel())
    told = train(watched, digits, CPU, files, gauges=lambda *_: {"outputs": gauge})
    extra = {
        "gradient_norm",
        "buffer_variance",
        "buffer_agreement",
        "buffer_cosine_similarity",
        "buffer_accepted",
        "outputs",
    }
    assert set(told.curves) - set(plain.curves) == extra
    assert {key: told.curves[key] for key in plain.curves} == plain.curves
    assert told.curves["outputs"][0] is told.curves["outputs"][2] is None
    assert 10 < told.curves["outputs"][1] < 11
    assert 0 < told.cost.telemetry_seconds < told.cost.evaluation_seconds < told.cost.wall_seconds
    assert told.cost.seconds == told.cost.wall_seconds - told.cost.telemetry_seconds

    # The same, written out.
    torch.manual_seed(derived_seed(0, "weights"))
    model = digits.model()
    optimizer = create_optimizer("adam_cm", model.parameters(), **watched.optimizer.hyperparameters)
    for epoch in range(3):
        norms = []
        for batch in digits.batches(64, generator(0, "order", epoch)):
            optimizer.zero_grad()
            digits.loss(model, batch, None)[0].backward()
            norms.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item())
            optimizer.step()
        stats = optimizer.buffer_stats()
        assert told.curves["gradient_norm"][epoch] == pytest.approx(sum(norms) / len(norms), rel=1e-4)
        assert told.curves["buffer_accepted"][epoch] == stats.accepted
        assert told.curves["buffer_variance"][epoch] == pytest.approx(stats.variance, rel=1e-3)
        assert told.curves["buffer_cosine_similarity"][epoch] == pytest.approx(stats.cosine_similarity, rel=1e-3)
    assert sum(told.curves["buffer_accepted"]) < 3 * 23


def test_a_stream_is_trained_task_by_task_and_judged_at_each_ones_end(workloads, files):
    stream_of_digits = workloads["digits_online"]
    sets = ("epochs=2", "batch_size=64", "schedule={name: step, milestones: [1], gamma: 0.5}")
    spec = spec_for("digits_online", "adam", *sets)
    measured = train(spec, stream_of_digits, CPU, files)
    curves = measured.curves
    assert curves["task"] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert curves["lr"][0] == 2 * curves["lr"][1] == curves["lr"][2]
    at_end = curves["val_accuracy"][1::2]
    assert measured.metrics["learning_accuracy"] == pytest.approx(sum(at_end) / 5)
    assert "val_accuracy_best" not in measured.metrics

    # The same, written out: one model, one optimizer, the tasks in their order.
    torch.manual_seed(derived_seed(0, "weights"))
    model = stream_of_digits.model()
    optimizer = create_optimizer("adam", model.parameters(), **spec.optimizer.hyperparameters)
    for number, task in enumerate(stream_of_digits.tasks):
        for epoch in range(2):
            optimizer.param_groups[0]["lr"] = spec.optimizer.hyperparameters["lr"] * 0.5**epoch
            for batch in task.batches(64, generator(0, "order", 2 * number + epoch)):
                optimizer.zero_grad()
                task.loss(model, batch, None)[0].backward()
                optimizer.step()
        assert at_end[number] == pytest.approx(task.evaluate(model).metric, abs=1.5)
