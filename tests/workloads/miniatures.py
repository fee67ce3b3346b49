"""Small data sets in the formats of the real ones, whose pictures say what they are."""

import dataclasses
import io
import pickle
import struct
import tarfile

import numpy as np
from PIL import Image
from scipy.io import savemat

from cmbench.workloads.cifar import CIFAR10
from cmbench.workloads.fashion_mnist import FashionMNIST
from cmbench.workloads.five_datasets import FiveDatasetsOnline
from cmbench.workloads.mnist import MNIST
from cmbench.workloads.notmnist import NotMNIST
from cmbench.workloads.svhn import SVHN
from cmbench.workloads.tinyimagenet import TinyImageNetOnline


def idx(array):
    """The bytes of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def shuffled(counts):
    """So many labels of each class, in a random order."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


def cifar(folder, name, count=50_000):
    """CIFAR in its Python version: every picture is as red as its class, and has a white corner."""
    files, key, classes = {
        "cifar10": ([f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)], b"labels", 10),
        "cifar100": (["cifar-100-python/train"], b"fine_labels", 100),
    }[name]
    labels = shuffled([count // classes] * classes)
    images = np.zeros((count, 3, 32, 32), np.uint8)
    images[:, 0] = labels[:, None, None]
    images[:, :, :4, :4] = 255
    for file, rows in zip(files, np.array_split(np.arange(count), len(files)), strict=True):
        (folder / file).parent.mkdir(exist_ok=True)
        content = {b"data": images[rows].reshape(len(rows), -1), key: labels[rows].tolist()}
        (folder / file).write_bytes(pickle.dumps(content, protocol=2))


def mnist(folder, name, counts):
    """MNIST's IDX files, in torchvision's folder `name`: every picture is as bright as its class."""
    labels = shuffled(counts)
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(idx(np.ones((len(labels), 28, 28)) * labels[:, None, None]))
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(labels))


def svhn(folder, counts):
    """SVHN's MATLAB file: every picture is as green as its class, and 10 stands for 0."""
    labels = shuffled(counts)
    images = np.zeros((32, 32, 3, len(labels)), np.uint8)
    images[:, :, 1] = labels
    savemat(folder / "train_32x32.mat", {"X": images, "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)})


def notmnist(folder, counts):
    """notMNIST's folders of PNG files, as bright as their class, with an empty one in A and half a one in F."""
    for label, (letter, count) in enumerate(zip("ABCDEFGHIJ", counts, strict=True)):
        files = folder / "notMNIST_small" / letter
        files.mkdir(parents=True)
        for i in range(count):
            Image.fromarray(np.full((28, 28), label, np.uint8)).save(files / f"font{i}.png")
        if letter == "A":
            (files / "RGVtb2Ny.png").write_bytes(b"")
        if letter == "F":
            (files / "Q3Jvc3Nv.png").write_bytes((files / "font0.png").read_bytes()[:50])


def notmnist_archive(folder, target):
    """The same as one file."""
    with tarfile.open(target / "notMNIST_small.tar.gz", "w:gz") as archive:
        archive.add(folder / "notMNIST_small", "notMNIST_small")


def jpeg(value, mode="RGB"):
    """A photograph of 64×64 pixels, all of one grey."""
    content = io.BytesIO()
    Image.new("RGB", (64, 64), (value,) * 3).convert(mode).save(content, "JPEG", quality=95)
    return content.getvalue()


def tinyimagenet(folder, classes, train, valid):
    """TinyImageNet's folder: pictures are as bright as twice their class in the order of WordNet numbers."""
    root = folder / "tiny-imagenet-200"
    names = [f"n{1_000_000 + i}" for i in range(classes)]
    (root / "val" / "images").mkdir(parents=True)
    (root / "wnids.txt").write_text("".join(f"{name}\n" for name in reversed(names)))
    annotations = []
    for label, name in enumerate(names):
        images = root / "train" / name / "images"
        images.mkdir(parents=True)
        (images.parent / f"{name}_boxes.txt").write_text("")
        for i in range(train):
            (images / f"{name}_{i}.JPEG").write_bytes(jpeg(2 * label, "L" if i == 1 else "RGB"))
        for i in range(valid):
            file = f"val_{i * classes + label}.JPEG"
            (root / "val" / "images" / file).write_bytes(jpeg(2 * label))
            annotations.append(f"{file}\t{name}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(annotations))
    return root


def tinyimagenet_hub(root, folder):
    """What is in such a folder as the hub's parquet files."""
    import pyarrow
    from pyarrow import parquet

    data = folder / "tiny-imagenet" / "data"
    data.mkdir(parents=True)
    names = sorted((root / "wnids.txt").read_text().split())
    train = [(file, names.index(file.parent.parent.name)) for file in sorted(root.glob("train/*/images/*.JPEG"))]
    lines = [line.split("\t") for line in (root / "val" / "val_annotations.txt").read_text().splitlines()]
    valid = [(root / "val" / "images" / line[0], names.index(line[1])) for line in lines]
    for split, rows in (("train", train), ("valid", valid)):
        images = [{"bytes": file.read_bytes(), "path": None} for file, _ in rows]
        table = pyarrow.table({"image": images, "label": [label for _, label in rows]})
        parquet.write_table(table, data / f"{split}-00000-of-00001-1359597a978bc4fa.parquet")


def photographs(folder):
    """An ImageFolder tree of two classes, in JPEG of several sizes, one of them grey."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        for name in ("n01440764", "n01443537"):
            (folder / "imagenet" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (250 + 40 * i, 300, 3), np.uint8)
                image = Image.fromarray(pixels).convert("L" if i == 1 else "RGB")
                image.save(folder / "imagenet" / split / name / f"{i}.JPEG")


def streams(folder, counts, images):
    """All of TinyImageNet and of the five data sets: so many pictures of each class, and so many of CIFAR-10."""
    cifar(folder, "cifar10", images)
    mnist(folder, "MNIST", counts)
    mnist(folder, "FashionMNIST", (5,) * 10)
    svhn(folder, counts)
    notmnist(folder, counts)
    tinyimagenet(folder, classes=20, train=4, valid=2)


def accept_streams(monkeypatch, counts, images):
    """Makes the readers accept what `streams` has written."""
    monkeypatch.setattr(CIFAR10, "count", images)
    monkeypatch.setattr(FashionMNIST, "counts", (5,) * 10)
    for source in (MNIST, SVHN, NotMNIST):
        monkeypatch.setattr(source, "counts", counts)
    members = tuple(dataclasses.replace(member, valid=0.2) for member in FiveDatasetsOnline.members)
    monkeypatch.setattr(FiveDatasetsOnline, "members", members)
    for name, count in (("classes", 20), ("train_count", 4), ("valid_count", 2)):
        monkeypatch.setattr(TinyImageNetOnline, name, count)
