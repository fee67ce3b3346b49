"""What is looked at in the file of a table before a library reads it: that it is none that would take it down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cmbench.errors import UserError

PARQUET = b"PAR1"
DEEPEST = 64
"""Lists and mappings in each other in a JSON file; pyarrow ends the process where there are thousands."""
_ARCHIVES = (b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"Rar!", b"7z\xbc\xaf")
"""How zip, gzip, bzip2, xz, zstd, lz4, rar and 7z files begin: `datasets` unpacks them, whatever their names are."""
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"?')
_BRACKETS = re.compile(rb"[\[\]{}]")


def check(file: Path) -> None:
    """Raises `UserError` for an archive that is called a table, a parquet file that is none, and bottomless JSON."""
    try:
        with file.open("rb") as stream:
            begin = stream.read(8)
            if file.suffix == ".parquet" and not begin.startswith(PARQUET):
                raise UserError(f"{file}: not a parquet file")
            if begin.startswith(_ARCHIVES):
                raise UserError(f"{file}: an archive: accepted: a table that is not packed")
            if file.suffix in (".json", ".jsonl"):
                stream.seek(0)
                _check_depth(file, stream)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None


def _check_depth(file: Path, lines: Iterable[bytes]) -> None:
    """Brackets in each other count; those in text, which ends with its line, do not."""
    depth = 0
    for number, line in enumerate(lines, 1):
        for bracket in _BRACKETS.findall(_TEXT.sub(b"", line)):
            depth = depth + 1 if bracket in b"[{" else max(0, depth - 1)
            if depth > DEEPEST:
                raise UserError(f"{file}: line {number:,}: lists in lists, {depth} deep: accepted: {DEEPEST}")
