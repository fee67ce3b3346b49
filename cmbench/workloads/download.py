"""Fetching archives over HTTP: resumed where a connection broke off, and complete wherever they appear."""

from __future__ import annotations

import shutil
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

ATTEMPTS = 5
"""Connections in a row that may bring nothing before a download is given up."""
PAUSE = 1.0
"""Seconds between them."""
TIMEOUT = 60
BLOCK = 1 << 18


class Arrived(NamedTuple):
    """How much of the file called `name` is here: so many bytes of `total`, None where the server does not say."""

    name: str
    size: int
    total: int | None


Report = Callable[[Arrived], None]
"""Hears how a download goes on."""


def silent(arrived: Arrived) -> None:
    """Tells nobody."""


def download(url: str, target: Path, report: Report = silent) -> Path:
    """The file at `url`, fetched to `target` unless it is there; returns `target`. `report` hears of every block.

    What has arrived lies beside it in NAME.part, from whose end the next attempt, or the next call, goes on (HTTP
    Range). Raises `OSError` when nothing more arrives, and for an address that does not exist.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    idle = 0
    while True:
        before = _size(part)
        error: Exception | None = None
        try:
            if _fetch(url, part, lambda size, total: report(Arrived(target.name, size, total))):
                break
        except urllib.error.HTTPError as refused:
            if refused.code < 500:
                raise
            error = refused
        except (OSError, HTTPException) as broken:
            error = broken
        idle = 0 if _size(part) > before else idle + 1
        if idle == ATTEMPTS:
            raise ConnectionError(f"{url}: {_size(part):,} bytes arrived, then nothing more") from error
        time.sleep(PAUSE if idle else 0)
    part.replace(target)
    return target


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _fetch(url: str, part: Path, report: Callable[[int, int | None], None]) -> bool:
    """Adds to `part` what one connection brings; whether the file is complete then."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # There is nothing after what we have: either that is all, or the file has changed.
        if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
            return True
        part.unlink()
        return False
    with answer:
        resumed = answer.status == 206
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                have += len(block)
                report(have, total)
    return total is None or have == total


def unzip(archive: Path, folder: Path, name: str) -> Path:
    """The folder `name` out of a zip `archive`, put into `folder`; returns where it is.

    It appears there only when it is complete. Raises `ValueError` for an archive that has no such folder or writes
    outside of itself, and `zipfile.BadZipFile` for a broken one, which is deleted, so that the next download starts
    anew.
    """
    unpacking = folder / f"{name}.part"
    shutil.rmtree(unpacking, ignore_errors=True)
    unpacking.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as files:
            for member in files.namelist():
                if not (unpacking / member).resolve().is_relative_to(unpacking.resolve()):
                    raise ValueError(f"{archive}: has a file outside of itself: {member}")
            files.extractall(unpacking)
        if not (unpacking / name).is_dir():
            raise ValueError(f"{archive}: has no folder {name}")
        (unpacking / name).replace(folder / name)
    except (zipfile.BadZipFile, EOFError, zlib.error):
        archive.unlink()
        raise
    finally:
        shutil.rmtree(unpacking)
    return folder / name
