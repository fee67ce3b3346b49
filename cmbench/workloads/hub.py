"""A workload from anything that Hugging Face's `datasets` can load: of the hub, a folder, a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cmbench.errors import UserError, reason, unknown
from cmbench.workloads import table_files
from cmbench.workloads.examples import SPLIT_SEED, stratified_split
from cmbench.workloads.images import opened
from cmbench.workloads.metrics import R2, RMSE, Metric
from cmbench.workloads.tensors import Loss, TensorWorkload

VALID_SPLITS = ("validation", "valid", "val", "dev")
VALID_SHARE = 0.2
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LONGEST_CLASS = 255
MOST_DECODED = 1 << 34
"""Bytes that all pictures of a data set may take as numbers."""
_READERS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".arrow": "arrow"}


def from_datasets(
    path: str,
    *,
    inputs: str | Sequence[str],
    target: str,
    model: Callable[[], nn.Module],
    metric: Metric | str,
    loss: Loss | None = None,
    splits: tuple[str, str] | None = None,
    version: int = 1,
    **options: Any,
) -> TensorWorkload:
    """A `TensorWorkload` of the columns of a data set, all of which is held in memory.

    Inputs are standardised by mean and deviation of the training part: of each number, or of each channel of an image.
    A target is a class, counted in the order of the training part's values, if it is text, a truth value, a label of
    `datasets`, or an integer that is not judged by R² or RMSE; else a number.

    Args:
        path: what `datasets.load_dataset` takes: a name of the hub, `"parquet"` with `data_files=`, a folder; or a file
            (`.parquet`, `.csv`, `.json`, `.jsonl`, `.arrow`).
        inputs: a column of images (B, C, H, W) of one size, or one or several columns of numbers (B, K).
        target: the column to be predicted.
        model, metric, loss, version: as for `TensorWorkload`.
        splits: the names of the training and the validation split; by default `train` and `validation`, `valid`, `val`
            or `dev`, and where there is none of these a fifth of `train`, stratified by class, the same for every seed.
        options: `load_dataset`'s own: `name`, `revision`, `data_files`, …

    Raises `UserError` for splits and columns that are not there, columns of anything but numbers, text and images,
    missing values, images of several sizes or of more than MOST_DECODED bytes, and classes that no training example
    has.
    """
    columns = [inputs] if isinstance(inputs, str) else list(inputs)
    data, where = _loaded(path, options), Path(path).name
    try:
        parts = _split(data, splits, columns, target, where)
        train, valid = _standardised(*_inputs(parts, columns, where))
        targets = _targets(parts, target, metric, where)
    except UserError:
        raise
    except Exception as error:
        # A table that could be opened may yet hold text that is none, or values that are no numbers.
        raise UserError(f"from_datasets: {path}: {reason(error)}") from None
    pairs = [(train, targets[0]), (valid, targets[1])]
    return TensorWorkload(
        pairs[0], pairs[1], model, metric, loss=loss, version=version,
        description=f"{where}: {len(train):,} + {len(valid):,} rows, {target} from {', '.join(columns)}",
    )  # fmt: skip


def _loaded(path: str, options: dict[str, Any]) -> Any:
    from datasets import load_dataset

    if path == "pandas":
        raise UserError("from_datasets: pandas: pickles, which may run anything: accepted: parquet, csv, json, …")
    reader = _READERS.get(Path(path).suffix) if Path(path).is_file() else None
    try:
        for file in _local_files(path, options):
            table_files.check(file, reader or path)
        return load_dataset(reader, data_files=path, **options) if reader else load_dataset(path, **options)
    except UserError:
        raise
    except Exception as error:
        # Whatever the library, a reader of a format or the network raises.
        raise UserError(f"from_datasets: {path}: {reason(error)}") from None


def _local_files(path: str, options: dict[str, Any]) -> set[Path]:
    """Those on this machine that are going to be read: a file, tables below a folder, and `data_files` in any form."""
    folder, named = options.get("data_dir") or "", options.get("data_files") or ()
    found: set[Path] = set()
    for several in named.values() if isinstance(named, dict) else [named]:
        for name in [several] if isinstance(several, (str, Path)) else several:
            for base in (path, folder, ""):
                found.update(map(Path, glob(os.path.join(base, name), recursive=True)))
    for place in map(Path, filter(None, (path, folder))):
        below = place.rglob("*") if place.is_dir() else [place]
        found.update(file for file in below if file.suffix in table_files.ENDINGS)
    return {file for file in found if file.is_file()}


def _split(data: Any, splits: tuple[str, str] | None, columns: Sequence[str], target: str, where: str) -> list[Any]:
    """The training and the validation part of the data set that messages call `where`."""
    if splits is None:
        splits = ("train", next((name for name in VALID_SPLITS if name in data), ""))
    for name in splits:
        if name and name not in data:
            raise unknown("split", name, data, where)
    parts = [data[name] for name in splits if name]
    for part in parts:
        _check_columns(part, columns, target, where)
        for i, value in enumerate(part[target]):
            if value is None:
                raise UserError(f"{where}: {target}: values are missing: accepted: one in every row")
            if isinstance(value, str) and len(value) > LONGEST_CLASS:  # numpy would make every row as long
                shown = f"row {i:,}: {len(value):,} characters"
                raise UserError(f"{where}: {target}: {shown}: accepted: a class of at most {LONGEST_CLASS}")
    if len(parts) == 2:
        return parts
    train = parts[0]
    values = np.asarray(train[target])
    if values.dtype.kind == "f" or min(np.unique(values, return_counts=True)[1]) < 2:
        order = np.random.default_rng(SPLIT_SEED).permutation(len(train))
        numbers = np.split(order, [round((1 - VALID_SHARE) * len(train))])
    else:
        numbers = list(stratified_split(values, VALID_SHARE))
    return [train.select(part) for part in numbers]


def _check_columns(part: Any, columns: Sequence[str], target: str, where: str) -> None:
    """Before any is read: a file says itself what its columns are, and `datasets` decodes them by that."""
    from datasets import Image

    for column in (*columns, target):
        if column not in part.column_names:
            raise unknown("column", column, part.column_names, where)
        kind = part.features[column]
        if not _is_plain(kind) and not (isinstance(kind, Image) and [column] == columns and column != target):
            raise UserError(f"{where}: {column}: {kind}: accepted: numbers, text, or images alone")


def _is_plain(kind: Any) -> bool:
    """Whether a column holds numbers, text, or lists of them, which nobody decodes."""
    from datasets import Array2D, Array3D, Array4D, Array5D, ClassLabel, LargeList, List, Value

    while isinstance(kind, (List, LargeList)):
        kind = kind.feature
    return isinstance(kind, (Value, ClassLabel, Array2D, Array3D, Array4D, Array5D))


def _inputs(parts: Sequence[Any], columns: Sequence[str], where: str) -> list[Tensor]:
    from datasets import Image

    if any(isinstance(part.features[columns[0]], Image) for part in parts):
        # Undecoded: Pillow opens more formats than a data set has, and one of them by another program.
        encoded = [part.cast_column(columns[0], Image(decode=False))[columns[0]] for part in parts]
        return _images(encoded, f"{where}: {columns[0]}")
    return [torch.cat([_numbers(part, column, where).flatten(1) for column in columns], 1) for part in parts]


def _numbers(part: Any, column: str, where: str) -> Tensor:
    """A column of numbers, or of lists of as many numbers each, (N, …) in float32."""
    try:
        values = np.asarray(part[column], dtype=np.float32)
    except (TypeError, ValueError):
        raise UserError(f"{where}: {column}: {part.features[column]}: accepted: numbers, or images alone") from None
    if not np.isfinite(values).all():
        raise UserError(f"{where}: {column}: values are missing, or not finite: accepted: numbers in every row")
    return torch.from_numpy(values.reshape(len(values), -1))


def _picture(row: Any, name: str, size: tuple[int, int] | None) -> Any:
    """The picture in a row: its bytes, or those of a file that it names."""
    if row is None or (row["bytes"] is None and row["path"] is None):
        raise UserError(f"{name}: no image: accepted: one in every row")
    return opened(row["bytes"] if row["bytes"] is not None else Path(row["path"]), name, FORMATS, size)


def _images(encoded: Sequence[Any], where: str) -> list[Tensor]:
    """Pictures as (N, C, H, W) on the scale of 0 to 1: grey where all of them are, else in colour.

    They have the size of the first one: others are refused before they are decoded.
    """
    rows = sum(map(len, encoded))
    size: tuple[int, int] | None = None
    parts: list[list[Any]] = []
    for part in encoded:
        parts.append([])
        for i, row in enumerate(part):
            parts[-1].append(_picture(row, f"{where}: row {i:,}", size))
            width, height = size = parts[-1][-1].size
            if 4 * 3 * rows * width * height > MOST_DECODED:
                shown = f"{rows:,} images of {width:,}×{height:,} pixels"
                raise UserError(f"{where}: {shown}: accepted: {MOST_DECODED:,} bytes as numbers")
    mode = "L" if all(picture.mode in ("1", "L") for part in parts for picture in part) else "RGB"
    found = []
    for part in parts:
        pixels = torch.from_numpy(np.stack([np.asarray(picture.convert(mode)) for picture in part])).float() / 255
        found.append(pixels[:, None] if mode == "L" else pixels.permute(0, 3, 1, 2).contiguous())
    return found


def _standardised(train: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    others = [dim for dim in range(train.dim()) if dim != 1]
    deviation, mean = torch.std_mean(train.double(), others, correction=0, keepdim=True)
    deviation[deviation == 0] = 1
    return ((train - mean) / deviation).float(), ((valid - mean) / deviation).float()


def _targets(parts: Sequence[Any], target: str, metric: Metric | str, where: str) -> list[Tensor]:
    from datasets import ClassLabel

    regression = metric in (R2, RMSE, R2.name, RMSE.name)
    kinds = {np.asarray(part[target]).dtype.kind for part in parts}
    labelled = isinstance(parts[0].features[target], ClassLabel)
    if not labelled and (kinds & {"f"} or (regression and kinds <= {"i", "u"})):
        return [_numbers(part, target, where).squeeze(1) for part in parts]
    values = np.unique(np.asarray(parts[0][target]))
    found = []
    for part in parts:
        own = np.asarray(part[target])
        if unseen := sorted(set(own.tolist()) - set(values.tolist())):
            raise UserError(f"{where}: {target}: {unseen[0]!r}: no training example has it: accepted: classes it has")
        found.append(torch.from_numpy(np.searchsorted(values, own)))
    return found
