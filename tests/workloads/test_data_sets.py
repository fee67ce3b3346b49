"""Data sets that do not come with cmbench: read from true-format files, refused when they are something else."""

import gzip
import itertools
import random
import re

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as transforms

from cmbench.errors import UserError
from cmbench.experiments.seeding import generator
from cmbench.workloads.augmentation import crop_and_flip
from cmbench.workloads.base import Batch
from cmbench.workloads.registry import WORKLOADS, get_workload

from .miniatures import cifar, idx, photographs

CPU = torch.device("cpu")
DEBIAN = "/usr/share/datasets/fashion-mnist"


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """Fashion-MNIST's sizes and format with pictures that say their label: a bar as bright as the class."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 6000))
    images = np.zeros((60_000, 28, 28), np.uint8)
    images[:, 10:14] = (25 * labels)[:, None, None]
    folder = tmp_path_factory.mktemp("data")
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images), 1))
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


@pytest.fixture(scope="module")
def treebank(tmp_path_factory):
    """Penn Treebank's numbers of words and tokens, in random sentences."""
    draw = random.Random(0)
    vocabulary = ["<unk>", *(f"w{i}" for i in range(9_998))]  # <eos> is the 10,000th
    folder = tmp_path_factory.mktemp("data")
    for name, tokens in (("train", 929_589), ("valid", 73_760), ("test", 82_430)):
        words = vocabulary[:] if name == "train" else []
        words += draw.choices(vocabulary[:50], k=tokens - len(words) - tokens // 20)
        lines, length = tokens // 20, len(words) // (tokens // 20)
        cuts = [i * length for i in range(lines)] + [len(words)]
        text = "".join(f" {' '.join(words[a:b])} \n" for a, b in itertools.pairwise(cuts))
        (folder / f"ptb.{name}.txt").write_text(text)
    return folder


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_the_card_counts_the_parameters_of_the_model(name, treebank):
    workload = get_workload(name, data_dir=treebank)
    if name in ("ptb", "pydoc"):
        workload.load(CPU)
        lstm = workload.model().lstm
        assert sum(p.numel() for p in lstm.parameters()) == 20_400  # Table 7: 20K
    if workload.card.parameters is not None:
        assert sum(p.numel() for p in workload.model().parameters()) == workload.card.parameters


def test_fashion_mnist_is_split_into_50_000_and_10_000_of_every_class(clothes):
    workload = get_workload("fashion_mnist", data_dir=clothes)
    workload.load(CPU)
    assert torch.bincount(workload.train_targets).tolist() == [5000] * 10
    assert torch.bincount(workload.valid_targets).tolist() == [1000] * 10
    assert workload.train_inputs.dtype == torch.uint8
    for images, labels, _ in workload.batches(200, generator(0, "order", 0)):
        torch.testing.assert_close(images[:, 0, 12, 5], (labels * 25 / 255 - 0.286) / 0.353)
        break


@pytest.mark.long
def test_fashion_mnist_trains_through_the_command(clothes, cmbench):
    cmbench(
        "train", "--suite", "fashion_mnist", "--data-dir", clothes, "--opt", "adam_cm", "--seeds", "1",
        "--set", "epochs=1", "--set", "schedule=constant", "--set", "batch_size=250",
    )  # fmt: skip
    (result,) = cmbench.results()
    assert result["metrics"]["val_accuracy_best"] > 40  # chance: 10


@pytest.mark.long
def test_the_real_fashion_mnist_of_debian_is_found_and_trained_on(monkeypatch, cmbench):
    monkeypatch.setenv("CMBENCH_DATA", str(cmbench.folder / "nothing"))
    workload = get_workload("fashion_mnist")
    if not workload.is_here():
        pytest.skip("the package dataset-fashion-mnist is not installed")
    workload.load(CPU)
    pixels = torch.cat([workload.train_inputs, workload.valid_inputs]).float() / 255
    assert pixels.mean().item() == pytest.approx(0.2860, abs=1e-4)
    assert pixels.std().item() == pytest.approx(0.3530, abs=1e-4)
    short = ("--seeds", "1", "--set", "epochs=1", "--set", "schedule=constant")
    cmbench("train", "--suite", "fashion_mnist", "--opt", "adam_cm", *short)
    (result,) = cmbench.results()
    assert result["metrics"]["val_accuracy_best"] > 80


def test_penn_treebank_has_its_numbers_and_trains(treebank, cmbench):
    workload = get_workload("ptb", data_dir=treebank)
    workload.load(CPU)
    assert (len(workload.train_tokens), len(workload.valid_tokens)) == (929_589, 73_760)
    assert workload.vocabulary_size == 10_000
    assert workload.train_tokens.max() == 9_999
    assert workload.steps_per_epoch(20) == -(-(929_589 // 20 - 1) // 35)
    assert "complete" in cmbench("data", "check", "ptb", "--data-dir", treebank).stdout


def test_penn_treebank_refuses_another_text(treebank, tmp_path):
    for name in ("train", "valid", "test"):
        (tmp_path / f"ptb.{name}.txt").write_text((treebank / f"ptb.{name}.txt").read_text())
    text = (tmp_path / "ptb.train.txt").read_text()
    (tmp_path / "ptb.train.txt").write_text(text.replace("w9000", "w1"))
    with pytest.raises(UserError, match=r"a vocabulary of 9,999 words: accepted: 10,000"):
        get_workload("ptb", data_dir=tmp_path).fingerprint()
    (tmp_path / "ptb.train.txt").write_text(text + " one more \n")
    with pytest.raises(UserError, match=r"929,592 tokens: accepted: 929,589"):
        get_workload("ptb", data_dir=tmp_path).fingerprint()


def test_files_of_another_format_are_named(clothes, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"PK\3\4 no images")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(10)))
    with pytest.raises(UserError, match="train-images-idx3-ubyte: not an IDX file"):
        get_workload("fashion_mnist", data_dir=tmp_path).fingerprint()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((10, 28, 28))))
    with pytest.raises(UserError, match=r"not Fashion-MNIST: its shape is \(10, 28, 28\): accepted: \(60000, 28, 28\)"):
        get_workload("fashion_mnist", data_dir=tmp_path).fingerprint()


def test_a_missing_data_set_names_the_command_that_fetches_it(cmbench):
    done = cmbench("train", "--suite", "ptb", "--data-dir", "elsewhere", code=2)
    assert "cmbench data prepare ptb --data-dir elsewhere" in done.stderr
    assert cmbench.files() == []


def test_the_list_says_what_is_here(treebank, cmbench):
    import json

    rows = {
        row["workload"]: row for row in json.loads(cmbench("data", "list", "--json", "--data-dir", treebank).stdout)
    }
    assert set(rows) == set(WORKLOADS)
    assert rows["ptb"]["here"]
    assert rows["digits"]["here"]
    table = cmbench("data", "list", "--data-dir", "elsewhere").stdout
    assert re.search(r"ptb +no", table)


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_is_split_augmented_and_trained_on(name, classes, tmp_path):
    cifar(tmp_path, name)
    workload = get_workload(name, data_dir=tmp_path)
    workload.load(CPU)
    assert torch.bincount(workload.train_targets).tolist() == [40_000 // classes] * classes
    assert len(workload.valid_targets) == 10_000
    every = workload.batches(64, generator(0, "order", 0))
    first, second = next(every), next(every)
    # Taken up in the middle, the epoch has the same crops.
    again = next(workload.batches(64, generator(0, "order", 0), start=1))
    assert torch.equal(second[0], again[0])
    red = first[0][:, 0, 16, 16] * workload.deviation[0] + workload.mean[0]
    torch.testing.assert_close(red * 255, first[1].float(), atol=1e-3, rtol=1e-3)
    model = workload.model()
    loss, _ = workload.loss(model, Batch(first[0][:4], first[1][:4], 4), None)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    (tmp_path / workload.folder / next(iter(workload.files))).write_bytes(b"no pickle")
    with pytest.raises(UserError, match="not cifar"):
        workload.fingerprint()


def test_crops_and_flips_are_those_of_torchvision():
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    corners, mirrored = torch.randint(0, 9, (20, 2)), torch.rand(20) < 0.5
    for got, image, corner, flip in zip(
        crop_and_flip(images, corners, mirrored), images, corners.tolist(), mirrored, strict=True
    ):
        expected = transforms.crop(transforms.pad(image, [4]), *corner, 32, 32)
        assert torch.equal(got, transforms.hflip(expected) if flip else expected)


def test_imagenet_trains_from_a_folder_tree(cmbench):
    photographs(cmbench.folder / "here")
    cmbench(
        "train", "--suite", "imagenet", "--data-dir", "here", "--opt", "adam_cm", "--seeds", "1",
        "--set", "epochs=1", "--set", "schedule=constant", "--set", "batch_size=2",
    )  # fmt: skip
    (result,) = cmbench.results()
    assert (result["status"], result["cost"]["steps"]) == ("completed", 3)


def test_imagenet_refuses_a_tree_whose_parts_have_different_classes(tmp_path):
    photographs(tmp_path)
    (tmp_path / "imagenet" / "val" / "n01440764").rename(tmp_path / "imagenet" / "val" / "n02000000")
    with pytest.raises(UserError, match=r"different classes: n01440764, n02000000"):
        get_workload("imagenet", data_dir=tmp_path).load(CPU)


def test_imagenet_is_read_from_parquet_as_from_the_tree(tmp_path):
    datasets = pytest.importorskip("datasets")
    photographs(tmp_path)
    tree = get_workload("imagenet", data_dir=tmp_path)
    tree.load(CPU)
    target = tmp_path / "hub" / "data"
    target.mkdir(parents=True)
    for split, folder in (("train", "train"), ("validation", "val")):
        files = sorted((tmp_path / "imagenet" / folder).glob("*/*.JPEG"))
        images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
        labels = [int(file.parent.name == "n01443537") for file in files]
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        rows = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
        rows.to_parquet(target / f"{split}-00000-of-00001.parquet")
    parquet = get_workload("imagenet", data_dir=tmp_path / "hub")
    parquet.load(CPU)
    for one, other in zip(*(w.batches(3, generator(0, "order", 0)) for w in (tree, parquet)), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    assert list(tree.batches(3, generator(0, "order", 0), start=2)) == []
    late = next(tree.batches(3, generator(0, "order", 0), start=1))
    assert torch.equal(late[0], other[0])
    assert one[0].shape == (3, 3, 224, 224)
