"""What is looked at in the file of a table before a library reads it: that it is none that would take it down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from cmbench.errors import UserError

PARQUET = b"PAR1"
DEEPEST = 64
"""Lists and mappings in each other in a JSON file; pyarrow ends the process where there are thousands."""
_ARCHIVES = (b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"Rar!", b"7z\xbc\xaf")
"""How zip, gzip, bzip2, xz, zstd, lz4, rar and 7z files begin: `datasets` unpacks them, whatever their names are."""
_JSON = (".json", ".jsonl", ".ndjson")
READERS = ("json", "parquet", "csv", "arrow", "text")
"""Of `datasets`, by their names."""
ENDINGS = (*_JSON, ".parquet", ".csv", ".tsv", ".txt", ".arrow")
"""Of the tables in a folder that are looked at."""
_MARKS = re.compile(rb'\\.?|["\[\]{}\n]')
_BLOCK = 1 << 20


def check(file: Path, reader: str = "") -> None:
    """Raises `UserError` for an archive that is called a table, a parquet file that is none, and bottomless JSON.

    Which of these it might be, the `reader` that it is given to says where it is one of READERS; else its name.
    """
    kind = f".{reader}" if reader in READERS else file.suffix
    try:
        with file.open("rb") as stream:
            begin = stream.read(8)
            if kind == ".parquet" and not begin.startswith(PARQUET):
                raise UserError(f"{file}: not a parquet file")
            if begin.startswith(_ARCHIVES):
                raise UserError(f"{file}: an archive: accepted: a table that is not packed")
            if kind in _JSON:
                stream.seek(0)
                _check_depth(file, stream)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None


def _check_depth(file: Path, stream: BinaryIO) -> None:
    """Brackets in each other count; those in text, which ends with its line, do not."""
    depth, number, in_text, rest = 0, 1, False, b""
    while block := stream.read(_BLOCK):
        block, rest = rest + block, b""
        for found in _MARKS.finditer(block):
            mark = found[0]
            if mark == b"\\" and found.end() == len(block):
                rest = mark  # what it escapes is the next block's first byte
            elif mark == b"\n":
                number, in_text = number + 1, False
            elif mark == b'"':
                in_text = not in_text
            elif not in_text and mark[0] in b"[]{}":
                depth = depth + 1 if mark in b"[{" else max(0, depth - 1)
                if depth > DEEPEST:
                    raise UserError(f"{file}: line {number:,}: lists in lists, {depth} deep: accepted: {DEEPEST}")
