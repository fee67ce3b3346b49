"""Data sets that `datasets` loads, from local parquet: tables with numbers and tables with images."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from cmbench import from_datasets
from cmbench.errors import UserError

CPU = torch.device("cpu")
ROWS = 50


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def table(seed=0, rows=ROWS):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "height": random.normal(170, 10, rows),
            "age": random.integers(1, 90, rows),
            "pair": list(random.normal(size=(rows, 2))),
            "kind": [("ash", "birch", "cedar", "birch", "birch")[i % 5] for i in range(rows)],
            "price": random.normal(size=rows),
            "word": ["a"] * rows,
        }
    )


def pictures(sizes=((8, 6),), mode="L", rows=20):
    random, found = np.random.default_rng(0), []
    for i in range(rows):
        width, height = sizes[i % len(sizes)]
        shape = (height, width) if mode == "L" else (height, width, 3)
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, shape, np.uint8), mode).save(file, "png")
        found.append({"image": {"bytes": file.getvalue(), "path": None}, "label": i % 2})
    return found


def saved_pictures(path, **options):
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageColumn

    rows = pictures(**options)
    Dataset.from_list(rows, features=Features({"image": ImageColumn(), "label": Value("int64")})).to_parquet(path)


def loaded(path, *, inputs=("height", "age"), target="kind", metric="accuracy", **options):
    columns = inputs if isinstance(inputs, str) else list(inputs)
    workload = from_datasets(
        str(path), inputs=columns, target=target, model=lambda: nn.Linear(2, 3), metric=metric, **options
    )
    workload.load(CPU)
    return workload


def test_numbers_are_stacked_and_standardised_by_the_training_part(tmp_path):
    for name, seed in (("train", 0), ("validation", 1)):
        table(seed).to_parquet(tmp_path / f"{name}.parquet")
    workload = loaded(tmp_path, inputs=("height", "age", "pair"))
    train, valid = (
        np.column_stack([frame["height"], frame["age"], np.stack(frame["pair"])]) for frame in (table(0), table(1))
    )
    mean, deviation = train.mean(0), train.std(0)
    np.testing.assert_allclose(workload.train_inputs, (train - mean) / deviation, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(workload.valid_inputs, (valid - mean) / deviation, rtol=1e-3, atol=1e-4)
    assert workload.train_targets.tolist() == [("ash", "birch", "cedar").index(kind) for kind in table(0)["kind"]]


def test_one_split_is_cut_by_class_the_same_way_every_time(tmp_path):
    table().to_parquet(tmp_path / "all.parquet")
    first, again = (loaded(tmp_path / "all.parquet") for _ in range(2))
    assert torch.bincount(first.train_targets).tolist() == [8, 24, 8]
    assert torch.bincount(first.valid_targets).tolist() == [2, 6, 2]
    assert first.fingerprint() == again.fingerprint()
    # To standardise keeps the order: sorted by height, the rows have the table's kinds.
    order = torch.cat([first.train_inputs, first.valid_inputs])[:, 0].argsort()
    kinds = torch.cat([first.train_targets, first.valid_targets])[order].tolist()
    assert kinds == [("ash", "birch", "cedar").index(kind) for kind in table().sort_values("height")["kind"]]


def test_numbers_are_predicted_as_they_are(tmp_path):
    table().to_csv(tmp_path / "all.csv")
    workload = loaded(tmp_path / "all.csv", target="price", metric="r2")
    together = torch.cat([workload.train_targets, workload.valid_targets])
    np.testing.assert_allclose(np.sort(together), np.sort(table()["price"]), rtol=1e-5)
    assert (len(workload.train_targets), together.dtype) == (40, torch.float32)
    ages = loaded(tmp_path / "all.csv", inputs="height", target="age", metric="rmse")
    assert ages.train_targets.dtype == torch.float32


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_images_are_channels_of_standardised_pixels(mode, channels, tmp_path):
    saved_pictures(tmp_path / "pictures.parquet", mode=mode)
    workload = loaded(tmp_path / "pictures.parquet", inputs="image", target="label")
    assert workload.train_inputs.shape == (16, channels, 6, 8)
    means = workload.train_inputs.double().mean((0, 2, 3))
    torch.testing.assert_close(means, torch.zeros(channels).double(), atol=1e-5, rtol=0)
    assert workload.train_inputs.double().std(correction=0).item() == pytest.approx(1, rel=1e-4)
    pixels = [np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in pictures(mode=mode)]
    found = sorted(image.std().item() for image in torch.cat([workload.train_inputs, workload.valid_inputs]))
    scale = np.stack(pixels).std() / 255
    # Each picture keeps its own contrast.
    np.testing.assert_allclose(found, sorted(p.std(ddof=1) / 255 / scale for p in pixels), rtol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ("hight",)}, r"all\.parquet: unknown column 'hight': did you mean 'height'"),
        ({"target": "sort"}, r"all\.parquet: unknown column 'sort'"),
        ({"inputs": ("word",)}, r"all\.parquet: word: .*accepted: numbers, or images alone"),
        ({"splits": ("train", "test")}, r"all\.parquet: unknown split 'test': .*accepted: train"),
        ({"metric": "r4"}, r"unknown metric 'r4'"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(options, message, tmp_path):
    table().to_parquet(tmp_path / "all.parquet")
    with pytest.raises(UserError, match=message):
        loaded(tmp_path / "all.parquet", **options)


def test_gaps_and_pictures_of_several_sizes_and_new_classes_are_refused(tmp_path):
    gaps = table()
    gaps.loc[3, "height"] = np.nan
    gaps.to_parquet(tmp_path / "gaps.parquet")
    with pytest.raises(UserError, match=r"gaps\.parquet: height: values are missing"):
        loaded(tmp_path / "gaps.parquet")
    saved_pictures(tmp_path / "sizes.parquet", sizes=((8, 6), (4, 4)))
    with pytest.raises(UserError, match=r"sizes\.parquet: image: row \d: (4×4|8×6) pixels: accepted: (8×6|4×4)$"):
        loaded(tmp_path / "sizes.parquet", inputs="image", target="label")
    other = table(1)
    other.loc[7, "kind"] = "yew"
    (tmp_path / "both").mkdir()
    table().to_parquet(tmp_path / "both" / "train.parquet")
    other.to_parquet(tmp_path / "both" / "validation.parquet")
    with pytest.raises(UserError, match=r"both: kind: 'yew': no training example has it"):
        loaded(tmp_path / "both")


def test_what_cannot_be_loaded_is_said_with_its_reason(tmp_path):
    (tmp_path / "no.parquet").write_bytes(b"PAR1 nothing of the kind")
    with pytest.raises(UserError, match=r"from_datasets: .*no\.parquet: \w+"):
        loaded(tmp_path / "no.parquet")


def test_a_table_without_rows_or_with_text_that_is_none_is_refused(tmp_path):
    table(rows=0).to_csv(tmp_path / "empty.csv")
    with pytest.raises(UserError, match=r"from_datasets: .*empty\.csv: "):
        loaded(tmp_path / "empty.csv")
    table().to_parquet(tmp_path / "text.parquet", compression=None)
    content = (tmp_path / "text.parquet").read_bytes()
    (tmp_path / "text.parquet").write_bytes(content.replace(b"\5\0\0\0birch", b"\5\0\0\0b\xffrch"))
    with pytest.raises(UserError, match=r"text\.parquet: UnicodeDecodeError: 'utf-8' codec"):
        loaded(tmp_path / "text.parquet")
