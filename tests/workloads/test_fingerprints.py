"""A data set is read for its fingerprint once, and again where its files have changed; and loaded once per command."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import cmbench.report  # before a test changes what it imports  # noqa: F401
from cmbench.api import Machine, Workloads
from cmbench.errors import UserError
from cmbench.experiments.suite import load_suite
from cmbench.workloads import cifar, fashion_mnist, fingerprints
from cmbench.workloads.digits import Digits
from cmbench.workloads.fashion_mnist import FashionMNIST
from cmbench.workloads.registry import get_workload

from . import miniatures

COUNTS = (5,) * 10
NAMES = ("five_datasets_online", "cifar10", "fashion_mnist", "imagenet", "gpt")
SUITE = """
kind: train
description: made up
workload: {workload}
epochs: 1
batch_size: {batch}
seeds: 1
optimizers: {{adam: {{}}, adam_cm: {{}}}}
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Miniatures, which the readers accept."""
    folder = tmp_path / "data"
    folder.mkdir()
    miniatures.streams(folder, COUNTS, images=400)
    miniatures.photographs(folder)
    (folder / "mine.txt").write_text("a b c d " * 400)
    miniatures.accept_streams(monkeypatch, COUNTS, images=400)
    monkeypatch.setattr(cifar, "VALID", 100)
    monkeypatch.setattr(fashion_mnist, "VALID", 10)
    return folder


@pytest.fixture
def computed(monkeypatch):
    """The names of the classes whose fingerprint was computed."""
    calls = []

    def counted(original):
        def fingerprint(self):
            calls.append(type(self).__name__)
            return original(self)

        return fingerprint

    for name in NAMES:
        kind = type(get_workload(name))
        monkeypatch.setattr(kind, "fingerprint", counted(kind.fingerprint))
    return calls


def workload_of(name, folder):
    return get_workload(name, data_dir=folder, options={"text": "mine"} if name == "gpt" else {})


@pytest.mark.parametrize("name", NAMES)
def test_a_fingerprint_is_computed_once(name, files, computed):
    first = workload_of(name, files)
    expected = f"{first.fingerprint()}.v{first.version}"
    computed.clear()
    assert [workload_of(name, files).identity() for _ in range(3)] == [expected] * 3
    assert len(computed) == 1


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("five_datasets_online", "train_32x32.mat"),
        ("five_datasets_online", "notMNIST_small/C/font0.png"),
        ("five_datasets_online", "cifar-10-batches-py/data_batch_3"),
        ("cifar10", "cifar-10-batches-py/data_batch_3"),
        ("fashion_mnist", "FashionMNIST/raw/train-labels-idx1-ubyte"),
        ("gpt", "mine.txt"),
    ],
)
def test_it_is_computed_anew_when_a_file_is_another_one_or_of_another_time(name, file, files, computed):
    before, path = workload_of(name, files).identity(), files / file
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    assert workload_of(name, files).identity() == before
    assert len(computed) == 2
    path.write_bytes(path.read_bytes() + b" ")
    with suppress(UserError):  # some formats take no byte more
        workload_of(name, files).identity()
    assert len(computed) == 3


def test_a_photograph_more_is_noticed(files, computed):
    before = workload_of("imagenet", files).identity()
    photograph = files / "imagenet" / "train" / "n01440764" / "0.JPEG"
    (photograph.parent / "9.JPEG").write_bytes(photograph.read_bytes())
    assert workload_of("imagenet", files).identity() != before


def test_other_options_and_other_folders_have_fingerprints_of_their_own(files, computed, tmp_path):
    workload_of("gpt", files).identity()
    get_workload("gpt", data_dir=files, options={"text": "mine", "layers": 1}).identity()
    (tmp_path / "copy").symlink_to(files)
    workload_of("gpt", tmp_path / "copy").identity()
    assert len(computed) == 3


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"another 0123456789abcdef\n", b"0123456789abcdef"])
def test_what_is_kept_is_ignored_where_it_is_broken(content, files, computed):
    expected = workload_of("cifar10", files).identity()
    (kept,) = fingerprints.folder().iterdir()
    assert kept.read_text().split() == [kept.name, expected.partition(".")[0]]
    kept.write_bytes(content)
    assert [workload_of("cifar10", files).identity() for _ in range(2)] == [expected] * 2
    assert len(computed) == 2  # and was mended


def test_nothing_is_kept_where_nothing_can_be_written(files, computed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert workload_of("cifar10", files).identity() == workload_of("cifar10", files).identity()
    assert len(computed) == 2


def test_data_that_is_not_here_is_missed_whatever_is_kept(files):
    workload_of("cifar10", files).identity()
    (files / "cifar-10-batches-py" / "data_batch_2").unlink()
    with pytest.raises(UserError, match="cmbench data prepare cifar10"):
        workload_of("cifar10", files).identity()


def test_a_fingerprint_of_unverified_data_is_none_of_verified_data(files, monkeypatch):
    workload_of("cifar10", files).identity()
    monkeypatch.delenv("CMBENCH_UNVERIFIED_DATA")
    with pytest.raises(UserError, match="not the published file"):
        workload_of("cifar10", files).identity()


def test_embedded_data_leaves_nothing_in_the_cache(files):
    assert get_workload("digits").identity() != get_workload("pydoc").identity()
    assert not fingerprints.folder().exists()


@pytest.fixture
def reads(monkeypatch):
    """Every reading of Fashion-MNIST and every loading of digits."""
    found = []
    for kind, name in ((FashionMNIST, "read"), (Digits, "load")):
        original = getattr(kind, name)

        def counted(self, *arguments, original=original, name=name):
            found.append(f"{name} {type(self).__name__}")
            return original(self, *arguments)

        monkeypatch.setattr(kind, name, counted)
    return found


def test_suites_of_one_workload_load_its_data_once_in_a_command(files, reads, cmbench, monkeypatch):
    suites = []
    for i, workload in enumerate(("fashion_mnist", "digits", "fashion_mnist")):
        suites.append(cmbench.folder / f"suite{i}.yaml")
        suites[-1].write_text(SUITE.format(workload=workload, batch=20 + i))
    monkeypatch.setattr("cmbench.experiments.suite.named", lambda name, kind: list(map(str, suites)))
    line = ("train", "--suite", "all", "--data-dir", files, "--quiet")
    cmbench(*line)
    assert reads == ["read FashionMNIST", "read FashionMNIST", "load Digits"]  # for its fingerprint, and to train on it
    assert len(cmbench.results()) == 6
    cmbench(*line)
    assert len(reads) == 3  # nothing is to be run
    cmbench(*line, "--seeds", 2)
    assert reads[3:] == ["read FashionMNIST", "load Digits"]


def test_a_workload_is_let_go_after_its_last_suite(tmp_path):
    digits, wine = (load_suite(name, kind="train") for name in ("digits", "wine"))
    workloads = Workloads(Machine())
    first = workloads.of(digits)
    assert workloads.of(digits) is first
    workloads.keep([digits, wine])
    assert workloads.of(digits) is first
    workloads.keep([wine])
    assert workloads.of(digits) is not first


def test_data_moves_to_another_device_when_it_is_asked_for(reads):
    digits = Digits()
    for device in ("cpu", "cpu", "meta", "meta"):
        digits.load_once(torch.device(device))
    assert reads == ["load Digits"] * 2


def test_the_cache_is_where_a_user_has_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert fingerprints.folder() == tmp_path / ".cache" / "cmbench" / "fingerprints"
