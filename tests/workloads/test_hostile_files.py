"""Data files are not trusted: nothing in them is run, and none takes more memory or time than the true one."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat, savemat

from cmbench.errors import UserError
from cmbench.workloads import array_pickle, mat_file, table_files
from cmbench.workloads.fashion_mnist import read_idx
from cmbench.workloads.images import opened
from cmbench.workloads.notmnist import NotMNIST
from cmbench.workloads.registry import get_workload
from cmbench.workloads.svhn import SVHN

from . import miniatures

CPU = torch.device("cpu")


class Hostile:
    """Unpickled by `pickle.load`, it creates a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("unverified", ["", "1"])
def test_code_in_a_data_file_does_not_run(cmbench, monkeypatch, unverified):
    monkeypatch.setenv("CMBENCH_UNVERIFIED_DATA", unverified)
    folder, trace = cmbench.folder / "cifar-10-batches-py", cmbench.folder / "it_ran"
    folder.mkdir()
    for i in range(1, 6):
        (folder / f"data_batch_{i}").write_bytes(pickle.dumps(Hostile(trace), protocol=2))
    done = cmbench("data", "check", "cifar10", "--data-dir", cmbench.folder, code=2)
    assert not trace.exists()
    assert "Traceback" not in done.stderr
    if unverified:
        assert "not the published file, and is read all the same" in done.stderr
        assert "posix.system" in done.stderr
    else:
        assert "data_batch_1" in done.stderr
        assert "accepted: c99cafc152244af753f735de768cd75f" in done.stderr


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_and_plain_values_of_any_protocol_are_read(protocol):
    content = {b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2.5, None], "mean": np.float64(0.25)}
    read = array_pickle.loads(pickle.dumps(content, protocol=protocol))
    assert read.keys() == content.keys()
    assert (read[b"data"] == content[b"data"]).all()
    assert (read["labels"], read["mean"]) == (content["labels"], content["mean"])


@pytest.mark.parametrize("value", [print, pickle.Unpickler, Hostile, np.load])
def test_functions_and_classes_are_refused(value):
    with pytest.raises(pickle.UnpicklingError, match=value.__name__):
        array_pickle.loads(pickle.dumps({"data": value}))


def state(target, *values):
    """A pickle that gives `target`, as opcodes, a state of `values`."""
    return b"\x80\x02" + target + b"".join([b"(", *(pickle.dumps(v, protocol=2)[2:-1] for v in values), b"tb."])


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\x01btR"
DTYPE = b"cnumpy\ndtype\nU\x02u1\x85R"
FOR_EVER = b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60))


@pytest.mark.parametrize(
    "content",
    [
        # A state that numpy believes: fields beyond the bytes, pointers for objects, a shape of terabytes.
        state(DTYPE, 3, b"|", None, (b"x",), {b"x": (1, 1 << 40)}, 1 << 40, 1, 0),
        state(ARRAY, 1, (1 << 20, 1 << 20), np.dtype("u1"), False, b"x"),
        state(ARRAY, 1, (-1,), np.dtype("u1"), False, b"x"),
        state(ARRAY, 1, (1,), np.dtype("O"), False, [print.__name__]),
        state(ARRAY, 1, (2,), np.dtype("u8"), False, b"x" * 8),
        b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85R.",
        b"\x80\x02cnumpy\ndtype\nU\x01O\x85R.",
        # What would change the reader itself.
        b"\x80\x02c_codecs\nencode\nN}U\x01xU\x01xs\x86b.",
        # A memo of 32 gigabytes.
        b"\x80\x02Nr\xff\xff\xff\xff" + b"N" * 10 + b"h\0.",
        # A key that takes 2^60 steps to hash.
        b"\x80\x02)q\0" + FOR_EVER + b"}h\x3cNs.",
        b"\x80\x02" + b"N0" * 1_100_000 + b"N.",
        # The same megabyte a thousand times over.
        b"\x80\x02(X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20) + b"q\0"
        + b"c_codecs\nencode\nh\0X\x06\0\0\0latin1\x86R" * 1000 + b"t.",
        b"\x80\x02" + b"(" * 100_000,
        b"",
        b"I" + b"9" * 100_000 + b"\n.",
    ],
    ids=range(15),
)  # fmt: skip
def test_no_pickle_makes_more_than_it_holds(content):
    with pytest.raises(pickle.UnpicklingError):
        array_pickle.loads(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "no table of 3,072 bytes"),
        ({b"data": np.zeros((2, 3072)), b"labels": [1, 2]}, "no table of 3,072 bytes"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "no list of a class for each image"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 1 << 60]}, "others than integers from 0 to 9"),
    ],
)
def test_a_pickle_of_something_else_is_no_cifar(content, message, tmp_path):
    miniatures.cifar(tmp_path, "cifar10", 50)
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(UserError, match=f"data_batch_2: not cifar10's Python version: .*{message}"):
        get_workload("cifar10", data_dir=tmp_path).fingerprint()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i2", "f8"])
def test_matlab_files_are_read_as_scipy_reads_them(packed, kind):
    file, values = io.BytesIO(), np.arange(60).reshape(3, 4, 5)
    savemat(file, {"X": values.astype(kind), "text": "X", "cell": {"a": values}}, do_compression=packed)
    found = mat_file.matrices(file.getvalue(), 10_000)
    assert found.keys() == {"X"}
    expected = loadmat(io.BytesIO(file.getvalue()))["X"]
    assert found["X"].dtype == expected.dtype
    np.testing.assert_array_equal(found["X"], expected)


def test_a_matlab_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    file, bomb = io.BytesIO(), zlib.compress(bytes(300_000_000), 1)
    savemat(file, {"X": np.zeros(3)})
    (tmp_path / "train_32x32.mat").write_bytes(file.getvalue()[:128] + struct.pack("<II", 15, len(bomb)) + bomb)
    with pytest.raises(UserError, match=r"train_32x32.mat: not SVHN: unpacks to more than 250,000,000 bytes"):
        SVHN(tmp_path).read()


def test_an_idx_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    (tmp_path / "labels.gz").write_bytes(gzip.compress(bytes(300_000_000), 1))
    with pytest.raises(UserError, match=r"labels.gz: unpacks to more than 100,000,000 bytes"):
        read_idx(tmp_path, "labels", (3,), "MNIST")
    (tmp_path / "labels").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 1 << 31, 1 << 31, 1 << 31) + b"\0" * 100)
    with pytest.raises(UserError, match=r"labels: not MNIST: its shape is \(\): accepted: \(3,\)"):
        read_idx(tmp_path, "labels", (3,), "MNIST")


def test_a_picture_that_is_a_bomb_another_program_s_or_cut_off_is_refused_by_name():
    bomb = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)), (b"IDAT", b"")):
        bomb += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    with pytest.raises(
        UserError,
        match=r"^a\.png: not an image: DecompressionBombError: Image size \(2500000000 p",
    ):
        opened(bomb, "a.png")
    with pytest.raises(UserError, match=r"^a\.png: 64×64 pixels: accepted: 28×28"):
        opened(miniatures.jpeg(1), "a.png", size=(28, 28))
    with pytest.raises(UserError, match=r"^a\.png: not an image: .*(?i:truncated)"):
        opened(miniatures.jpeg(1)[:-100], "a.png")
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n"
    with pytest.raises(UserError, match=r"^a\.png: not an image: accepted: JPEG, PNG$"):
        opened(script, "a.png")


def archive(folder, *members):
    with tarfile.open(folder / "notMNIST_small.tar.gz", "w:gz", compresslevel=1) as files:
        for name, kind, size in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, size, "/etc/passwd"
            files.addfile(member, io.BytesIO(bytes(size)))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("notMNIST_small/A/1.png", tarfile.REGTYPE, 1 << 20)], "1,048,576 bytes, picture 1"),
        ([("other", tarfile.REGTYPE, 200_000_000)], "unpacks to more than 134,217,728 bytes"),
        ([("../A/1.png", tarfile.SYMTYPE, 0), ("A/2.png", tarfile.CHRTYPE, 0)], "images of each letter"),
    ],
)
def test_an_archive_of_links_devices_or_gigabytes_is_refused(members, message, tmp_path):
    archive(tmp_path, *members)
    with pytest.raises(UserError, match=f"not notMNIST: .*{message}"):
        NotMNIST(tmp_path).read()


def test_an_archive_that_says_it_is_a_terabyte_is_refused_at_once(tmp_path):
    member = tarfile.TarInfo("notMNIST_small/other")
    member.size = 1 << 40
    with gzip.open(tmp_path / "notMNIST_small.tar.gz", "wb", compresslevel=1) as file:
        file.write(member.tobuf() + bytes(10_240))
    began = time.monotonic()
    with pytest.raises(UserError, match="notMNIST_small/other: is cut off"):
        NotMNIST(tmp_path).read()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_an_archive_of_headers_alone_is_refused(kind, tmp_path):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, 512
    with gzip.open(tmp_path / "notMNIST_small.tar.gz", "wb", compresslevel=1) as file:
        file.write((header.tobuf(tarfile.GNU_FORMAT) + b"9 a=bcde\n".ljust(512, b"\0")) * 5_000)
    with pytest.raises(UserError, match="not notMNIST: "):
        NotMNIST(tmp_path).read()


def test_a_pipe_or_a_name_that_leads_elsewhere_keeps_nobody(tmp_path, monkeypatch):
    root = miniatures.tinyimagenet(tmp_path, classes=5, train=1, valid=1)
    workload = get_workload("tinyimagenet_online", data_dir=tmp_path)
    for name, value in (("classes", 5), ("train_count", 1), ("valid_count", 1)):
        monkeypatch.setattr(type(workload), name, value)
    file = root / "train" / "n1000000" / "images" / "n1000000_0.JPEG"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(UserError, match=r"n1000000_0.JPEG: not a file: accepted: a regular one"):
        workload.load(CPU)
    file.unlink()
    file.write_bytes(miniatures.jpeg(0))
    lines = (root / "val" / "val_annotations.txt").read_text()
    (root / "val" / "val_annotations.txt").write_text(lines.replace("val_0.JPEG", "/dev/zero"))
    with pytest.raises(UserError, match=r"'/dev/zero' where a file's name belongs"):
        workload.load(CPU)


def test_a_text_that_is_none_is_refused(tmp_path):
    for name in ("train", "valid", "test"):
        (tmp_path / f"ptb.{name}.txt").write_bytes(b"a \xff b")
    with pytest.raises(UserError, match=r"ptb.train.txt: not UTF-8 text: invalid start byte at byte 2"):
        get_workload("ptb", data_dir=tmp_path).fingerprint()
    with (tmp_path / "ptb.train.txt").open("wb") as file:
        file.truncate(1 << 40)  # a hole: a terabyte that takes no space
    with pytest.raises(UserError, match=r"ptb.train.txt: 1,099,511,627,776 bytes: accepted: at most 33,554,432"):
        get_workload("ptb", data_dir=tmp_path).fingerprint()


def test_a_photograph_that_is_none_ends_a_training_in_a_sentence(cmbench):
    miniatures.photographs(cmbench.folder)
    file = cmbench.folder / "imagenet" / "train" / "n01440764" / "1.JPEG"
    file.write_bytes(file.read_bytes()[:100])
    done = cmbench("train", "--suite", "imagenet", "--data-dir", ".", "--opt", "adam", "--seeds", "1", code=2)
    assert "1.JPEG: not an image" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_photograph_that_would_grow_to_gigabytes_is_refused(tmp_path):
    miniatures.photographs(tmp_path)
    Image.new("L", (60_000, 1)).save(tmp_path / "imagenet" / "val" / "n01440764" / "0.JPEG", "PNG")
    workload = get_workload("imagenet", data_dir=tmp_path)
    workload.load(CPU)
    with pytest.raises(UserError, match=r"0.JPEG: 60,000×1 pixels: accepted: a longer side of at most 100 times"):
        workload.valid_set.picture(0)


def test_pictures_of_a_table_are_opened_in_their_formats_only(tmp_path, monkeypatch):
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageColumn

    from cmbench import from_datasets

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    script = io.BytesIO()
    Image.new("RGB", (8, 8)).save(script, "EPS")
    rows = [{"image": {"bytes": script.getvalue(), "path": None}, "label": i % 2} for i in range(10)]
    features = Features({"image": ImageColumn(), "label": Value("int64")})
    Dataset.from_list(rows, features=features).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a.parquet: image: row 0: not an image: accepted: BMP, GIF, JPEG, PNG"):
        from_datasets(
            str(tmp_path / "a.parquet"), inputs="image", target="label", metric="accuracy", model=torch.nn.Identity
        )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n",
            "line 1: lists in lists, 65 deep: accepted: 64",
        ),
        ("a.csv", b"PK\3\4" + b"x" * 100, "an archive: accepted: a table that is not packed"),
        ("a.parquet", b"x" * 100, "not a parquet file"),
    ],
)
def test_a_table_that_would_take_the_library_down_is_refused(name, content, message, tmp_path):
    from cmbench import from_datasets

    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: {message}"):
        from_datasets(str(tmp_path / name), inputs="x", target="x", metric="accuracy", model=torch.nn.Identity)


def test_brackets_in_the_text_of_a_table_are_none(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("".join('{"x": "[[[\\"{{{ :[", "y": [[1]]}\n' for _ in range(200)))
    table_files.check(file)
