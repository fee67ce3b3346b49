"""Streams of tasks: each has its own classes, images and outputs; they are read from true-format files."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from cmbench.errors import UserError
from cmbench.experiments.seeding import generator
from cmbench.workloads.cifar import CIFAR10
from cmbench.workloads.fashion_mnist import FashionMNIST
from cmbench.workloads.mnist import MNIST
from cmbench.workloads.notmnist import NotMNIST
from cmbench.workloads.registry import get_workload
from cmbench.workloads.svhn import SVHN

from . import miniatures

CPU = torch.device("cpu")
COUNTS = (6, 5, 5, 7, 5, 5, 5, 5, 5, 5)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Miniatures of all five data sets and of TinyImageNet."""
    folder = tmp_path_factory.mktemp("data")
    miniatures.streams(folder, COUNTS, images=100)
    return folder


@pytest.fixture
def small(monkeypatch):
    """The readers accept the miniatures."""
    miniatures.accept_streams(monkeypatch, COUNTS, images=100)


def loaded(name, folder=None):
    workload = get_workload(name, data_dir=folder)
    workload.load(CPU)
    return workload


@pytest.mark.parametrize("name", ["digits_online", "tinyimagenet_online", "five_datasets_online"])
def test_a_task_sees_and_moves_its_own_outputs_alone(name, files, small):
    workload = loaded(name, files)
    model = workload.model()
    rows = list(model.parameters())[-2]
    assert len(rows) == workload.ways * len(workload.tasks)
    moved = []
    for task in workload.tasks:
        assert set(task.train_targets.tolist()) == set(task.valid_targets.tolist()) == set(range(workload.ways))
        model.zero_grad()
        batch = next(task.batches(8, generator(0, "order", 0)))
        loss, _ = task.loss(model, batch, None)
        loss.backward()
        moved.append(set(rows.grad.abs().sum(1).nonzero().flatten().tolist()))
        assert len(moved[-1]) == workload.ways
    assert sorted(row for own in moved for row in own) == list(range(len(rows)))  # disjoint, and all


def test_a_task_is_scored_among_its_own_classes(files, small):
    task = loaded("digits_online").tasks[3]
    whole = torch.randn(10)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(whole)
        model[1].bias[0] = 100  # another task's class
    evaluation = task.evaluate(model)
    probabilities = whole[6:8].double().softmax(0)[task.valid_targets]
    assert evaluation.loss == pytest.approx(-probabilities.log().mean().item(), rel=1e-5)
    assert evaluation.metric == pytest.approx(100 * (probabilities > 0.5).double().mean().item())


def test_the_tasks_of_digits_are_its_pairs_of_classes_in_the_split_of_digits(files):
    whole, stream = loaded("digits"), loaded("digits_online")
    for number, task in enumerate(stream.tasks):
        for part in ("train", "valid"):
            images, labels = getattr(whole, f"{part}_inputs"), getattr(whole, f"{part}_targets")
            chosen = labels // 2 == number
            assert torch.equal(getattr(task, f"{part}_inputs"), images[chosen])
            assert torch.equal(getattr(task, f"{part}_targets"), labels[chosen] % 2)
    assert sum(len(task.train_targets) + len(task.valid_targets) for task in stream.tasks) == len(load_digits().data)
    assert stream.fingerprint() != get_workload("digits").fingerprint()


def test_the_classes_of_tinyimagenet_are_each_in_one_task(files, small):
    workload = loaded("tinyimagenet_online", files)
    assert len(workload.tasks) == 4
    found = []
    for task in workload.tasks:
        assert task.train_inputs.shape == (20, 3, 64, 64)
        assert task.valid_inputs.shape == (10, 3, 64, 64)
        for label in range(5):
            # A class has the brightness that says which it is, in training and in validation.
            values = [
                images[labels == label].unique().tolist()
                for images, labels in ((task.train_inputs, task.train_targets), (task.valid_inputs, task.valid_targets))
            ]
            assert values[0] == values[1]
            found += values[0]
    assert sorted(found) == list(range(0, 40, 2))
    assert found != sorted(found)  # in random order


def test_tinyimagenet_is_read_from_parquet_as_from_its_folder(files, small, tmp_path):
    miniatures.tinyimagenet_hub(files / "tiny-imagenet-200", tmp_path)
    for one, other in zip(
        loaded("tinyimagenet_online", files).tasks, loaded("tinyimagenet_online", tmp_path).tasks, strict=True
    ):
        batches = (task.batches(6, generator(0, "order", 0)) for task in (one, other))
        for a, b in zip(*batches, strict=True):
            assert torch.equal(a.inputs, b.inputs)
            assert torch.equal(a.targets, b.targets)
        assert torch.equal(one.valid_inputs, other.valid_inputs)
    file = next((tmp_path / "tiny-imagenet" / "data").glob("valid-*"))
    file.write_bytes(b"no parquet")
    with pytest.raises(UserError, match="not TinyImageNet: ArrowInvalid"):
        loaded("tinyimagenet_online", tmp_path)


def test_tinyimagenet_is_cropped_and_mirrored_in_training_only(files, small):
    task = loaded("tinyimagenet_online", files).tasks[0]
    random, plain = (next(task.batches(20, generator(0, "order", 0), augment=augment)) for augment in (True, False))
    assert torch.equal(random.targets, plain.targets)
    # A grey picture stays what it is but for the black margin that a crop may have.
    assert torch.equal(random.inputs[:, :, 4:-4, 4:-4], plain.inputs[:, :, 4:-4, 4:-4])
    assert not torch.equal(random.inputs, plain.inputs)
    assert all(len(image.unique()) == 3 for image in plain.inputs)  # one value per channel


def test_tinyimagenet_refuses_what_is_not_whole(files, small, tmp_path, monkeypatch):
    root = miniatures.tinyimagenet(tmp_path, classes=20, train=4, valid=2)
    before = get_workload("tinyimagenet_online", data_dir=tmp_path).fingerprint()
    assert before == get_workload("tinyimagenet_online", data_dir=files).fingerprint()
    file = root / "train" / "n1000003" / "images" / "n1000003_0.JPEG"
    content = file.read_bytes()
    file.write_bytes(content + b"\0")
    assert get_workload("tinyimagenet_online", data_dir=tmp_path).fingerprint() != before
    file.write_bytes(b"no photograph")
    with pytest.raises(UserError, match=r"n1000003_0\.JPEG: not an image"):
        loaded("tinyimagenet_online", tmp_path)
    file.unlink()
    with pytest.raises(UserError, match="79 images in train: accepted: 4 of each of 20 classes"):
        loaded("tinyimagenet_online", tmp_path)
    file.write_bytes(content)
    monkeypatch.undo()
    with pytest.raises(UserError, match="80 images in train: accepted: 500 of each of 200 classes"):
        loaded("tinyimagenet_online", tmp_path)
    (root / "val" / "val_annotations.txt").unlink()
    with pytest.raises(UserError, match=r"not TinyImageNet: .*val_annotations.txt"):
        get_workload("tinyimagenet_online", data_dir=tmp_path).fingerprint()


def test_the_five_data_sets_come_in_their_order_as_colour_pictures(files, small):
    workload = loaded("five_datasets_online", files)
    assert not workload.published  # miniatures have other sums
    sizes = [100, 53, 50, 53, 53]
    for number, (task, size) in enumerate(zip(workload.tasks, sizes, strict=True)):
        assert len(task.valid_targets) == np.ceil(size / 5)
        assert len(task.train_targets) + len(task.valid_targets) == size
        for images, labels in ((task.train_inputs, task.train_targets), (task.valid_inputs, task.valid_targets)):
            assert images.shape[1:] == (3, 32, 32)
            assert images.dtype == torch.uint8
            # Red as its class, grey as its class, or green as its class: see the miniatures.
            expected = {0: (1, 0, 0), 3: (0, 1, 0)}.get(number, (1, 1, 1))
            for channel, there in enumerate(expected):
                assert torch.equal(images[:, channel, 16, 16].long(), labels * there)
            if number in (1, 2, 4):
                assert images[:, :, :2].sum() == images[:, :, :, -2:].sum() == 0  # the frame
    inputs = next(workload.tasks[3].valid_batches()).inputs
    labels = workload.tasks[3].valid_targets
    torch.testing.assert_close(inputs[:, 1, 0, 0], (labels / 255 - 0.456) / 0.224)


def test_notmnist_is_read_from_its_archive_as_from_its_folders(files, small, tmp_path):
    miniatures.notmnist_archive(files, tmp_path)
    for one, other in zip(NotMNIST(files).read(), NotMNIST(tmp_path).read(), strict=True):
        assert np.array_equal(one, other)
    content = (tmp_path / "notMNIST_small.tar.gz").read_bytes()
    (tmp_path / "notMNIST_small.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="not notMNIST"):
        NotMNIST(tmp_path).read()


def test_files_that_are_no_images_are_skipped_and_the_others_counted(files, monkeypatch):
    assert len(list((files / "notMNIST_small" / "A").iterdir())) == COUNTS[0] + 1
    with pytest.raises(UserError, match=r"images of each letter: \[6, 5, 5, 7, 5, 5, 5, 5, 5, 5\]: accepted: \[1872"):
        NotMNIST(files).read()
    monkeypatch.setattr(NotMNIST, "counts", COUNTS)
    images, labels = NotMNIST(files).read()
    assert len(images) == len(labels) == sum(COUNTS)


def test_the_real_data_sets_have_their_known_sizes():
    assert [sum(source.counts) for source in (MNIST, FashionMNIST, SVHN, NotMNIST)] == [60_000, 60_000, 73_257, 18_724]


@pytest.mark.parametrize(("source", "name"), [(MNIST, "MNIST"), (SVHN, "SVHN"), (CIFAR10, "cifar10")])
def test_a_data_set_of_another_size_is_refused(source, name, files):
    with pytest.raises(UserError, match=f"not {name}: "):
        source(files).read()


def test_a_changed_picture_changes_the_fingerprint(files, small, tmp_path):
    miniatures.cifar(tmp_path, "cifar10", 100)
    for name in ("MNIST", "FashionMNIST", "train_32x32.mat"):
        (tmp_path / name).symlink_to(files / name)
    miniatures.notmnist_archive(files, tmp_path)
    before = get_workload("five_datasets_online", data_dir=tmp_path).fingerprint()
    assert before == get_workload("five_datasets_online", data_dir=files).fingerprint()
    (tmp_path / "notMNIST_small.tar.gz").unlink()
    miniatures.notmnist(tmp_path, COUNTS)
    file = tmp_path / "notMNIST_small" / "C" / "font0.png"
    file.write_bytes((tmp_path / "notMNIST_small" / "D" / "font0.png").read_bytes())
    assert get_workload("five_datasets_online", data_dir=tmp_path).fingerprint() != before


def test_only_the_missing_data_sets_are_named_and_fetched(files, tmp_path, monkeypatch, cmbench):
    monkeypatch.setattr(FashionMNIST, "_folder", lambda self: None)  # Debian's package may be here
    (tmp_path / "train_32x32.mat").symlink_to(files / "train_32x32.mat")
    miniatures.notmnist_archive(files, tmp_path)
    workload = get_workload("five_datasets_online", data_dir=tmp_path)
    assert not workload.is_here()
    with pytest.raises(UserError, match=r"its data \(CIFAR-10, MNIST, Fashion-MNIST\) is not in"):
        workload.fingerprint()
    fetched = []
    for source in (CIFAR10, MNIST, FashionMNIST, SVHN, NotMNIST):
        monkeypatch.setattr(source, "prepare", lambda self, report: fetched.append(type(self)))
    workload.prepare()
    assert fetched == [CIFAR10, MNIST, FashionMNIST]
    done = cmbench("data", "check", "five_datasets_online", "--data-dir", tmp_path, code=2)
    assert "CIFAR-10, MNIST" in done.stderr
    assert f"cmbench data prepare five_datasets_online --data-dir {tmp_path}" in done.stderr.replace("\n", "")


def test_a_missing_tinyimagenet_names_both_of_its_commands(cmbench):
    done = cmbench("train", "--suite", "tinyimagenet_online", "--data-dir", "elsewhere", code=2)
    assert "cmbench data prepare tinyimagenet_online --data-dir elsewhere" in done.stderr
    assert "hf download zh-plus/tiny-imagenet" in done.stderr


def test_a_stream_is_checked_through_the_command(cmbench):
    assert "digits_online: complete" in cmbench("data", "check", "digits_online").stdout
