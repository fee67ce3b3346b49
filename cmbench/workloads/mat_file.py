"""MATLAB's files of version 5, of which matrices of numbers are read, and nothing else, within limits."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cmbench.workloads.packed import unpacked

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How numbers are stored, by the format's code."""
_CLASSES = range(6, 16)
"""Those of matrices of numbers: double to uint64; cells, structures, objects and functions have others."""
_COMPLEX = 0x800
_MOST_ELEMENTS = 100


class _Element(NamedTuple):
    kind: int
    content: memoryview


def matrices(content: bytes, most: int) -> dict[str, np.ndarray]:
    """The matrices of numbers in a file by their names, as they are stored; others are passed over.

    Raises `ValueError` for a file of another format, one that is cut off, and one that unpacks to more than `most`
    bytes. Format: MathWorks, "MAT-File Format", level 5: a header of 128 bytes, then elements of a type, a length and
    their bytes, which may be compressed by zlib.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER])
    if order is None or struct.unpack(f"{order}H", content[124:126]) != (0x0100,):
        raise ValueError("no MATLAB file of version 5")
    found = {}
    for element in _elements(memoryview(content)[_HEADER:], order):
        if element.kind == _COMPRESSED:
            content = unpacked(element.content, most)
            most -= len(content)
            element = next(_elements(memoryview(content), order), element)
        if element.kind == _MATRIX and (matrix := _matrix(element.content, order)):
            found[matrix[0]] = matrix[1]
    return found


def _elements(content: memoryview, order: str) -> Iterator[_Element]:
    """The elements one after the other; each begins at a multiple of eight bytes, unless it is behind a packed one."""
    place = 0
    for _ in range(_MOST_ELEMENTS):
        if len(content) - place < 8:
            return
        kind, size = struct.unpack_from(f"{order}II", content, place)
        start = place + 8
        if kind >> 16:  # four bytes or less stand in the tag itself
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        if size > (4 if start == place + 4 else len(content) - start):
            raise ValueError("an element that is longer than the file")
        yield _Element(kind, content[start : start + size])
        place = start + size if kind == _COMPRESSED else place + 8 if start == place + 4 else start + -(-size // 8) * 8
    raise ValueError(f"more than {_MOST_ELEMENTS} elements")


def _matrix(content: memoryview, order: str) -> tuple[str, np.ndarray] | None:
    """Name and numbers of a matrix; None for one of something else."""
    parts = _elements(content, order)
    flags = next(parts, None)
    if flags is None or len(flags.content) != 8:
        raise ValueError("a matrix without its flags")
    (what,) = struct.unpack_from(f"{order}I", flags.content)
    if what & 0xFF not in _CLASSES or what & _COMPLEX:
        return None
    sizes, name, numbers = (next(parts, None) for _ in range(3))
    if sizes is None or name is None or numbers is None or numbers.kind not in _NUMBERS or len(sizes.content) > 32:
        raise ValueError("a matrix without its numbers")
    shape = np.frombuffer(sizes.content, f"{order}i4").tolist()
    values: np.ndarray[Any, Any] = np.frombuffer(numbers.content, f"{order}{_NUMBERS[numbers.kind]}")
    if min(shape, default=-1) < 0 or math.prod(shape) != len(values):
        raise ValueError("a matrix of another shape than its numbers")
    return bytes(name.content).decode("latin1"), values.reshape(shape, order="F")
