"""Checkpoints that do not fit, and disks that take none: a run goes on, or begins anew, and says so."""

import errno
import io
import os
import zipfile

import pytest
import torch

from cmbench.errors import Unreadable, UserError
from cmbench.experiments.files import set_aside
from cmbench.experiments.outside import completed
from cmbench.experiments.plan import plan_training
from cmbench.experiments.suite import load_suite
from cmbench.training import checkpoint
from cmbench.training.interrupt import Interrupt
from cmbench.training.learner import Learner
from cmbench.training.observer import Observer
from cmbench.training.processes import Processes
from cmbench.training.run_files import RunFiles
from cmbench.training.trainer import train
from cmbench.workloads.registry import get_workload

CPU = torch.device("cpu")


class Stops(Interrupt):
    requested = True


class Remarks(Observer):
    def __init__(self):
        self.texts = []

    def remark(self, text):
        self.texts.append(text)


@pytest.fixture(scope="module")
def wine():
    workload = get_workload("wine")
    workload.load(CPU)
    return workload


def spec_for(opt):
    return plan_training(load_suite("wine", opts=[opt], sets=["epochs=3", "schedule=constant"]), "data", [0])[0]


def completed_spec(opt):
    suite = load_suite("wine", opts=[opt], sets=["epochs=3", "schedule=constant", "lr=0.1"])
    return plan_training(completed(suite), "data", [0])[0]


@pytest.fixture
def files(tmp_path):
    return lambda suffix: tmp_path / f"run{suffix}"


def other_shapes(saved):
    for state in saved["learner"]["optimizer"]["state"].values():
        state["exp_avg"] = torch.zeros(3)


def other_model(saved):
    saved["learner"]["model"] = {"weight": torch.zeros(2)}


CHANGES = {
    "other shapes of the optimizer": other_shapes,
    "another model": other_model,
    "no position": lambda saved: saved.pop("position"),
    "a step that is no number": lambda saved: saved["position"].update(step="x"),
    "fewer losses than steps": lambda saved: saved["position"]["rows"].clear(),
    "a curve of another epoch": lambda saved: saved["position"]["curves"].update(train_loss=[1.0]),
    "an unknown field": lambda saved: saved["position"].update(more=1),
    "as many threads as nobody has": lambda saved: saved.update(threads=100_000),
    "no random numbers": lambda saved: saved["processes"][0].pop("random"),
    "processes that are no list": lambda saved: saved.update(processes=3),
    "no process": lambda saved: saved.update(processes=[]),
    "a device that is none": lambda saved: saved.update(device=torch.zeros(0)),
    "a device that nobody has": lambda saved: saved.update(device="x"),
    "a device with a number": lambda saved: saved.update(device="cpu:0"),
    "telemetry that is none": lambda saved: saved.update(telemetry=[1]),
    "another run": lambda saved: saved.update(run="0" * 16),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_checkpoint_that_does_not_fit_is_set_aside_and_the_run_begins_anew(change, wine, files, tmp_path):
    undisturbed = train(spec_for("adam_cm"), wine, CPU, lambda suffix: tmp_path / f"other{suffix}")
    train(spec_for("adam_cm"), wine, CPU, files, interrupt=Stops())
    saved = torch.load(files(".resume.pt"), weights_only=True)
    change(saved)
    torch.save(saved, files(".resume.pt"))
    before, heard = files(".resume.pt").read_bytes(), Remarks()
    measured = train(spec_for("adam_cm"), wine, CPU, files, observer=heard)
    assert (measured.status, measured.curves) == ("completed", undisturbed.curves)
    assert files(".resume.pt.bad").read_bytes() == before
    (said,) = heard.texts
    assert str(files(".resume.pt")) in said
    assert said.endswith("set aside as run.resume.pt.bad: from the beginning")


@pytest.mark.parametrize("content", [b"not a checkpoint", b"", b"PK\x03\x04"], ids=["text", "empty", "zip"])
def test_a_file_that_is_no_checkpoint_is_set_aside_too(content, wine, files):
    files(".resume.pt").write_bytes(content)
    heard = Remarks()
    assert train(spec_for("adam"), wine, CPU, files, observer=heard).status == "completed"
    assert "not a checkpoint" in heard.texts[0]
    assert files(".resume.pt.bad").read_bytes() == content


def test_a_bit_that_has_flipped_is_found(wine, files):
    train(spec_for("adam"), wine, CPU, files, interrupt=Stops())
    weights = torch.load(files(".resume.pt"), weights_only=True)["learner"]["model"]
    content = bytearray(files(".resume.pt").read_bytes())
    at = content.index(max(weights.values(), key=torch.numel).numpy().tobytes())
    content[at + 1] ^= 4
    files(".resume.pt").write_bytes(content)
    taken = torch.load(files(".resume.pt"), weights_only=True)["learner"]["model"]
    assert not all(torch.equal(taken[name], weights[name]) for name in weights), "torch says nothing"
    heard = Remarks()
    train(spec_for("adam"), wine, CPU, files, observer=heard)
    assert "not a checkpoint" in heard.texts[0]


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("zipfile.ZipFile.testzip", OSError(errno.EMFILE, os.strerror(errno.EMFILE))),
        ("zipfile.ZipFile.testzip", MemoryError()),
        ("cmbench.training.learner.Learner.load", torch.OutOfMemoryError("CUDA out of memory")),
    ],
    ids=["files", "memory", "a GPU's memory"],
)
def test_a_machine_that_refuses_says_nothing_about_the_checkpoint(what, error, wine, files, monkeypatch):
    train(spec_for("adam"), wine, CPU, files, interrupt=Stops())

    def refuses(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(what, refuses)
        with pytest.raises(type(error)):
            train(spec_for("adam"), wine, CPU, files)
    heard = Remarks()
    train(spec_for("adam"), wine, CPU, files, observer=heard)
    assert heard.texts == []


def packed(path):
    content = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in content.namelist():
            archive.writestr(name, content.read(name))


def without_end(path):
    saved = torch.load(path, weights_only=True)
    carries = []
    for _ in range(40):
        carries = [carries, carries]
    saved["processes"][0]["carries"] = carries
    torch.save(saved, path)


@pytest.mark.parametrize("change", [packed, without_end])
def test_a_small_file_that_unpacks_to_a_large_checkpoint_is_none(change, wine, files, monkeypatch):
    monkeypatch.setattr(checkpoint, "MOST_ITEMS", 100_000)
    train(spec_for("adam"), wine, CPU, files, interrupt=Stops())
    change(files(".resume.pt"))
    heard = Remarks()
    assert train(spec_for("adam"), wine, CPU, files, observer=heard).status == "completed"
    assert "not a checkpoint (ValueError)" in heard.texts[0]


def test_nothing_that_was_set_aside_is_lost(files):
    for content in ("first", "second", "third"):
        files(".resume.pt").write_text(content)
        set_aside(files(".resume.pt"))
    found = [files(f".resume.pt.bad{number}").read_text() for number in ("", ".2", ".3")]
    assert found == ["first", "second", "third"]
    set_aside(files(".resume.pt"))  # as another process has done by now


class SecondOfTwo(Processes):
    """Whose first one says this of the checkpoint."""

    def __init__(self, first):
        super().__init__(1, 2)
        self.first = first

    def gather(self, item):
        return [True if isinstance(item, bool) else self.first, item]

    def broadcast(self, item):
        return self.gather(item)[0]


@pytest.mark.parametrize("first", [None, Unreadable("by the first")])
def test_processes_agree_before_one_of_them_sets_a_checkpoint_aside(first, wine, files):
    files(".resume.pt").write_bytes(b"garbage")
    learner = Learner(spec_for("adam"), wine, CPU, Processes())
    run_files = RunFiles(spec_for("adam"), files, learner, SecondOfTwo(first), lambda: None, print)
    with pytest.raises(Unreadable, match="by the first" if first else "not a checkpoint"):
        run_files.resume(None, 1)


def test_a_checkpoint_of_another_device_is_kept_for_the_command_that_can_go_on_from_it(wine, files):
    train(spec_for("adam"), wine, CPU, files, interrupt=Stops())
    torch.save(torch.load(files(".resume.pt"), weights_only=True) | {"device": "cuda"}, files(".resume.pt"))
    with pytest.raises(UserError, match="a checkpoint made on cuda, not cpu"):
        train(spec_for("adam"), wine, CPU, files)
    assert train(spec_for("adam"), wine, CPU, files, resume=False).status == "completed"


class Projects(torch.optim.SGD):
    """Keeps a moment of another shape than its parameter, as low-rank optimizers do."""

    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["exp_avg"] = param.detach().flatten()[:1].clone()
        return super().step(closure)


def test_what_somebody_elses_optimizer_keeps_may_have_any_shape(wine, files):
    spec = completed_spec(f"{__name__}:Projects")
    train(spec, wine, CPU, files, interrupt=Stops())
    heard = Remarks()
    assert train(spec, wine, CPU, files, observer=heard).status == "completed"
    assert heard.texts == []


def test_one_of_the_version_before_names_no_run_and_is_taken(wine, files):
    train(spec_for("adam"), wine, CPU, files, interrupt=Stops())
    saved = torch.load(files(".resume.pt"), weights_only=True)
    del saved["run"]
    torch.save(saved, files(".resume.pt"))
    heard = Remarks()
    train(spec_for("adam"), wine, CPU, files, observer=heard)
    assert heard.texts == []


def test_a_full_disk_costs_checkpoints_and_weights_and_not_the_run(wine, files, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    undisturbed = train(spec_for("adam"), wine, CPU, files)
    for suffix in (".pt", ".best.pt"):
        files(suffix).unlink()
    monkeypatch.setattr("cmbench.experiments.atomic.os.fsync", full)
    heard = Remarks()
    measured = train(spec_for("adam"), wine, CPU, files, observer=heard)
    assert (measured.status, measured.curves) == ("completed", undisturbed.curves)
    assert len(heard.texts) == 2, "each kind of file once"
    assert all("cannot be written: No space left on device" in text for text in heard.texts)
    assert list(files("").parent.iterdir()) == []


def test_torch_says_why_it_could_not_write(monkeypatch):
    def onto_a_full_device(_, write):
        with open("/dev/full", "wb", buffering=0) as file:
            write(file)

    monkeypatch.setattr("cmbench.training.checkpoint.write_atomically", onto_a_full_device)
    with pytest.raises(OSError, match="No space left on device") as raised:
        checkpoint.save("anywhere", {"a": torch.zeros(100_000)})
    assert raised.value.errno == errno.ENOSPC
