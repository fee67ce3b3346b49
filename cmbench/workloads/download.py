"""Fetching archives over HTTP: resumed where a connection broke off, and complete wherever they appear."""

from __future__ import annotations

import hashlib
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cmbench.errors import UserError, reason
from cmbench.workloads import data_locations

ATTEMPTS = 5
"""Connections in a row that may bring nothing before a download is given up."""
PAUSE = 1.0
"""Seconds between them."""
TIMEOUT = 60
BLOCK = 1 << 18
MOST_FILES = 200_000
"""Of an archive: TinyImageNet has 120,000."""
MOST_UNPACKED = 1 << 31
"""Of an archive, in bytes."""


class Arrived(NamedTuple):
    """How much of the file called `name` is here: so many bytes of `total`, None where the server does not say."""

    name: str
    size: int
    total: int | None


Report = Callable[[Arrived], None]
"""Hears how a download goes on."""


def silent(arrived: Arrived) -> None:
    """Tells nobody."""


def download(url: str, target: Path, report: Report = silent, *, most: int, md5: str) -> Path:
    """The file at `url`, fetched to `target`; returns `target`. `report` hears of every block.

    A file that is there already is not looked at: whoever reads it does. What has arrived lies beside it in NAME.part,
    from whose end the next attempt, or the next call, goes on (HTTP Range). A file that is fetched has at most `most`
    bytes, and the published sum `md5`; other bytes are deleted. Raises `OSError` when
    nothing more arrives, and for an address that does not exist, `UserError` for other bytes.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    idle, furthest = 0, _size(part)
    while True:
        error: Exception | None = None
        try:
            if _fetch(url, part, lambda size, total: report(Arrived(target.name, size, total)), most):
                break
        except urllib.error.HTTPError as refused:
            if refused.code < 500:
                raise
            error = refused
        except (OSError, HTTPException) as broken:
            error = broken
        idle = 0 if _size(part) > furthest else idle + 1
        furthest = max(furthest, _size(part))
        if idle == ATTEMPTS:
            raise ConnectionError(f"{url}: {_size(part):,} bytes arrived, then nothing more") from error
        time.sleep(PAUSE if idle else 0)
    try:
        data_locations.is_published(url, _md5(part), md5)
    except UserError:
        part.unlink()
        raise
    part.replace(target)
    return target


def _md5(file: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _fetch(url: str, part: Path, report: Callable[[int, int | None], None], most: int) -> bool:
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
        total = None if answer.length is None else have + answer.length
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(BLOCK):
                have += len(block)
                if have > most:
                    raise _too_long(url, part, most)
                file.write(block)
                report(have, total)
    return total is None or have == total


def _too_long(url: str, part: Path, most: int) -> UserError:
    part.unlink()
    return UserError(f"{url}: more than {most:,} bytes: accepted: the published file, which has no more")


def unzip(archive: Path, folder: Path, name: str) -> Path:
    """The folder `name` out of a zip `archive`, put into `folder`; returns where it is.

    It appears there only when it is complete. Raises `UserError` for an archive that has no such folder, writes outside
    of itself, has names twice or links, is packed otherwise than by deflate, or unpacks to more than MOST_FILES and
    MOST_UNPACKED; and for a broken one, which is deleted, so that the next download starts anew.
    """
    unpacking = folder / f"{name}.part"
    shutil.rmtree(unpacking, ignore_errors=True)
    unpacking.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as files:
            _check(archive, files.infolist())
            files.extractall(unpacking)
        if not (unpacking / name).is_dir():
            raise UserError(f"{archive}: has no folder {name}")
        (unpacking / name).replace(folder / name)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        archive.unlink()
        raise UserError(f"{archive}: a broken archive, which is deleted: {reason(error)}") from None
    except UserError:
        raise
    except Exception as error:
        # Names that are empty, too long, or a file's and a folder's, a password, an unknown method of packing, …
        raise UserError(f"{archive}: cannot be unpacked: {reason(error)}") from None
    finally:
        shutil.rmtree(unpacking)
    return folder / name


def _check(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Raises `UserError` for what no data set has.

    `zipfile` unpacks no more than its `file_size` of a file that is stored or deflated; of others a block at once,
    which may stand for gigabytes.
    """
    unpacked = sum(member.file_size for member in members)
    if len(members) > MOST_FILES or unpacked > MOST_UNPACKED:
        raise UserError(
            f"{archive}: {len(members):,} files of {unpacked:,} bytes: accepted: {MOST_FILES:,} of {MOST_UNPACKED:,}"
        )
    names = set()
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
            raise UserError(f"{archive}: has a file outside of itself: {member.filename[:100]!r}")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{archive}: has a link, or a device: {member.filename[:100]!r}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{archive}: is packed by method {member.compress_type}: accepted: deflate")
        if path in names:
            raise UserError(f"{archive}: has a name twice: {member.filename[:100]!r}")
        names.add(path)
