"""Where data sets lie on this machine: which folders are looked into, and what is said when a file is in none."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from cmbench.errors import UserError

VARIABLE = "CMBENCH_DATA"
UNVERIFIED = "CMBENCH_UNVERIFIED_DATA"
"""Set to 1, this variable of the environment lets files be read that are not the published ones."""


def home(data_dir: Path | None = None) -> Path:
    """Where data is downloaded to: `--data-dir`, else the folder that CMBENCH_DATA names, else a cache in the home."""
    if data_dir is not None:
        return data_dir
    return Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "cmbench" / "data")


def find(
    files: Sequence[str], subfolders: Sequence[str], data_dir: Path | None, also: Sequence[str] = ()
) -> Path | None:
    """The first folder that holds all `files`, plain or with `.gz`: in `subfolders` of `home`, or one of `also`."""
    folders = [home(data_dir) / sub for sub in ("", *subfolders)] + [Path(folder) for folder in also]
    return next((folder for folder in folders if holds(folder, files)), None)


def holds(folder: Path, files: Sequence[str]) -> bool:
    """Whether all `files` are in `folder`, plain or with `.gz`."""
    return all((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name in files)


def present(folder: Path | None, files: Iterable[str]) -> list[Path]:
    """Those `files` of `folder` that are read: plain, or with `.gz` where there is no plain one; none of no folder."""
    if folder is None:
        return []
    return [folder / name if (folder / name).is_file() else folder / f"{name}.gz" for name in files]


def parquet(folder: Path, split: str) -> list[Path]:
    """The files of `split` that a data set of the hub has in `folder`, or in its `data`; none where there are none."""
    return sorted(folder.glob(f"data/{split}-*.parquet")) + sorted(folder.glob(f"{split}-*.parquet"))


def read_bytes(file: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes; raises `UserError` for a longer one, and for one without an end.

    A pipe or a device among data files would keep whoever opens it.
    """
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{file}: not a file: accepted: a regular one")
        if found.st_size > most:
            raise UserError(f"{file}: {found.st_size:,} bytes: accepted: at most {most:,}")
        return file.read_bytes()
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise UserError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_text(file: Path, most: int) -> str:
    """The UTF-8 text in a file of at most `most` bytes; raises `UserError` for other content."""
    try:
        # Lines end as they do where a file is opened as text.
        return read_bytes(file, most).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text: {error.reason} at byte {error.start:,}") from None


def verified(file: Path, md5: str, most: int) -> tuple[bytes, bool]:
    """The content of a published file of at most `most` bytes, and whether it has the sum `md5`.

    Raises `UserError` where it has another one or cannot be read. With CMBENCH_UNVERIFIED_DATA=1 other content is given
    as well, and standard error says so.
    """
    content = read_bytes(file, most)
    return content, is_published(str(file), hashlib.md5(content, usedforsecurity=False).hexdigest(), md5)


def is_published(file: str, found: str, md5: str) -> bool:
    """Whether the sum that was `found` of a file is the published one.

    Raises `UserError` where it is not, unless CMBENCH_UNVERIFIED_DATA=1, which standard error warns of.
    """
    if found == md5:
        return True
    if os.environ.get(UNVERIFIED) != "1":
        raise UserError(
            f"{file}: not the published file: its MD5 sum is {found}: accepted: {md5} "
            f"(or, at your own risk, any with {UNVERIFIED}=1)"
        )
    _warn_once(file)
    return False


@cache
def _warn_once(file: str) -> None:
    print(
        f"cmbench: warning: {file} is not the published file, and is read all the same ({UNVERIFIED}=1)",
        file=sys.stderr,
    )


def missing(workload: str, data_dir: Path | None, hints: Sequence[str] = (), parts: Sequence[str] = ()) -> UserError:
    """The error that says where data was looked for, which `parts` of it are missing, and which command fetches it."""
    option = f" --data-dir {data_dir}" if data_dir is not None else ""
    which = f"its data ({', '.join(parts)})" if parts else "its data"
    lines = [f"workload {workload}: {which} is not in {home(data_dir)} (--data-dir, {VARIABLE}); fetch it with:"]
    return UserError(
        "\n".join([*lines, *(f"  {hint}" for hint in (f"cmbench data prepare {workload}{option}", *hints))])
    )
