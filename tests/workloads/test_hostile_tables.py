"""A table says itself what its columns are, and is not believed: nothing is decoded that is not asked for."""

import io
import os
import pickle
import tracemalloc

import pytest
import torch
from PIL import EpsImagePlugin, Image

from cmbench import from_datasets
from cmbench.errors import UserError
from cmbench.workloads import hub, table_files, tinyimagenet
from cmbench.workloads.registry import get_workload

from . import miniatures


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def ghostscript(monkeypatch):
    """Hears of every picture that is handed to the other program."""
    calls = []

    def called(*_, **__):
        calls.append(1)
        return Image.new("RGB", (8, 8)).im

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", called)
    return calls


def script():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "EPS")
    return {"bytes": file.getvalue(), "path": None}


def jpeg(i):
    return {"bytes": miniatures.jpeg(i), "path": None}


def saved(path, rows, **columns):
    from datasets import Dataset, Features

    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_list(rows, features=Features(columns)).to_parquet(path)
    return str(path)


def read(path, inputs, target, **options):
    return from_datasets(path, inputs=inputs, target=target, metric="accuracy", model=torch.nn.Identity, **options)


@pytest.mark.parametrize(("inputs", "target"), [("x", "odd"), (["x", "odd"], "label"), ("odd", "odd"), ("x", "odds")])
def test_a_column_that_calls_itself_images_is_decoded_by_nobody(inputs, target, tmp_path, ghostscript):
    from datasets import Image as ImageColumn
    from datasets import List, Value

    rows = [{"x": 1.0 * i, "odd": script(), "odds": [script()], "label": i % 2} for i in range(10)]
    path = saved(
        tmp_path / "a.parquet", rows,
        x=Value("float32"), odd=ImageColumn(), odds=List(ImageColumn()), label=Value("int64"),
    )  # fmt: skip
    with pytest.raises(UserError, match=r"a\.parquet: odds?: .*Image.*accepted: numbers, text, or images alone"):
        read(path, inputs, target)
    read(path, "x", "label")
    assert ghostscript == []


def test_imagenet_decodes_its_own_column_and_no_other(tmp_path, ghostscript):
    from datasets import Image as ImageColumn
    from datasets import Value

    rows = [{"image": jpeg(i), "label": i % 2, "odd": script()} for i in range(4)]
    for split in ("train", "validation"):
        name = f"{split}-00000-of-00001.parquet"
        saved(tmp_path / "data" / name, rows, image=ImageColumn(), label=Value("int64"), odd=ImageColumn())
    workload = get_workload("imagenet", data_dir=tmp_path)
    workload.load(torch.device("cpu"))
    assert workload.train_set.picture(1)[1] == 1
    assert ghostscript == []


def test_pictures_that_would_fill_the_memory_are_refused_at_the_first(tmp_path, monkeypatch):
    from datasets import Image as ImageColumn
    from datasets import Value

    rows = [{"image": jpeg(i), "label": i % 2} for i in range(10)]
    path = saved(tmp_path / "a.parquet", rows, image=ImageColumn(), label=Value("int64"))
    monkeypatch.setattr(hub, "MOST_DECODED", 10 * 64 * 64 * 3 * 4 - 1)
    with pytest.raises(UserError, match=r"a\.parquet: image: 10 images of 64×64 pixels: accepted: 491,519 bytes"):
        read(path, "image", "label")


def test_rows_of_tinyimagenet_that_stand_for_gigabytes_are_not_unpacked(tmp_path, monkeypatch):
    import pyarrow
    from pyarrow import parquet

    (tmp_path / "data").mkdir()
    for split in ("train", "valid"):
        table = pyarrow.table({"image": [{"bytes": bytes(1 << 22), "path": None}] * 16, "label": [0] * 16})
        parquet.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    del table
    workload = get_workload("tinyimagenet_online", data_dir=tmp_path)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"a row without an image of at most 65,536 bytes and a class"):
        workload.load(torch.device("cpu"))
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()
    monkeypatch.setattr(tinyimagenet, "MOST_OF_GROUP", 1 << 20)
    with pytest.raises(UserError, match=r"a row group of 4,\d+,\d+ bytes: accepted: 1,048,576"):
        workload.load(torch.device("cpu"))


DEEP = b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n"


@pytest.mark.parametrize(
    "form", [str, lambda name: [name], lambda name: {"train": [name]}], ids=["str", "list", "dict"]
)
@pytest.mark.parametrize(("reader", "name"), [("json", "a.csv"), ("{folder}", "a.jsonl"), ("{folder}", "*.jsonl")])
def test_bottomless_files_are_refused_however_they_are_named(reader, name, form, tmp_path):
    (tmp_path / name.replace("*", "a")).write_bytes(DEEP)
    named = name if reader != "json" else str(tmp_path / name)
    with pytest.raises(UserError, match=r"a\.\w+: line 1: lists in lists, 65 deep"):
        read(reader.format(folder=tmp_path), "x", "x", data_files=form(named))


@pytest.mark.parametrize("given", [("{folder}", {}), ("json", {"data_dir": "{folder}"})], ids=["a folder", "data_dir"])
def test_bottomless_files_of_a_folder_are_refused(given, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_bytes(DEEP)
    path, options = given
    with pytest.raises(UserError, match=r"train\.jsonl: line 1: lists in lists, 65 deep"):
        read(path.format(folder=tmp_path), "x", "x", **{k: v.format(folder=tmp_path) for k, v in options.items()})


def test_brackets_in_a_csv_are_text(tmp_path):
    (tmp_path / "a.json").write_bytes(DEEP)
    table_files.check(tmp_path / "a.json", "csv")


def test_long_texts_take_no_memory_and_end_where_they_end(tmp_path, monkeypatch):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"x": "' + b"[\\\\" * 1_000_000 + b'"}\n')
    tracemalloc.start()
    table_files.check(file)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    monkeypatch.setattr(table_files, "_BLOCK", 1)  # what is escaped stands in another block
    for content, is_deep in (
        (b'{"x": "\\"' + b"[" * 100, False),
        (b'{"x": "\\\\"' + b"[" * 100, True),
        (b'{"x": "\n' + b"[" * 100, True),
        (b'{"x": "\\\n' + b"[" * 100, True),
    ):
        file.write_bytes(content)
        if not is_deep:
            table_files.check(file)
            continue
        with pytest.raises(UserError, match="lists in lists, 65 deep"):
            table_files.check(file)


def test_a_pickled_table_is_refused(tmp_path):
    class Runs:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'executed'}",)

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Runs()))
    for path, options in (("pandas", {"data_files": str(tmp_path / "a.pkl")}), (str(tmp_path), {})):
        with pytest.raises(UserError):
            from_datasets(path, inputs="a", target="y", model=lambda: None, metric="r2", **options)
    assert not (tmp_path / "executed").exists()


def test_a_class_of_megabytes_is_none(tmp_path):
    rows = [f'{{"a": {i}, "y": "{"x" * (1_000_000 if i == 3 else 1)}"}}' for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    with pytest.raises(UserError, match="y: row 3: 1,000,000 characters: accepted: a class of at most 255"):
        from_datasets(str(tmp_path / "a.jsonl"), inputs="a", target="y", model=lambda: None, metric="accuracy")
