"""Files as broken disks, broken copies and strangers leave them: mutations of bytes, and code that leaves a trace."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

HUGE = (0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
"""What a length, an offset or a number of dimensions is set to."""


def mutated(content: bytes, draw: random.Random, trace: Path) -> bytes:
    """`content` with one to three mutations; of code that is put in and run, `trace` would be there."""
    for _ in range(draw.randint(1, 3)):
        content = draw.choice(_MUTATIONS)(content, draw, trace)
    return content


def _place(content: bytes, draw: random.Random) -> int:
    """Somewhere; in every second case near an end, where formats have their headers."""
    last = len(content)
    return draw.choice([draw.randint(0, last), draw.randint(0, min(64, last)), draw.randint(max(0, last - 64), last)])


def _flip(content: bytes, draw: random.Random, _: Path) -> bytes:
    changed = bytearray(content)
    for _bit in range(draw.randint(1, 20) if changed else 0):
        changed[min(_place(content, draw), len(changed) - 1)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random, _: Path) -> bytes:
    return content[: _place(content, draw)]


def _without(content: bytes, draw: random.Random, _: Path) -> bytes:
    start, length = _place(content, draw), draw.randint(1, 100)
    return content[:start] + content[start + length :]


def _twice(content: bytes, draw: random.Random, _: Path) -> bytes:
    start = _place(content, draw)
    end = min(len(content), start + draw.choice([1, 8, 100, 10_000]))
    return content[:end] + content[start:end] * draw.choice([1, 2, 50]) + content[end:]


def _huge(content: bytes, draw: random.Random, _: Path) -> bytes:
    """A field of one to eight bytes, in either order, is as large as it gets."""
    start, size, order = _place(content, draw), draw.choice([1, 2, 4, 8]), draw.choice(["little", "big"])
    value = draw.choice(HUGE) & ((1 << 8 * size) - 1)
    return content[:start] + value.to_bytes(size, order) + content[start + size :]


def _noise(content: bytes, draw: random.Random, _: Path) -> bytes:
    start = _place(content, draw)
    noise = draw.randbytes(draw.choice([1, 4, 16, 200]))
    return content[:start] + noise + content[start + len(noise) * draw.randint(0, 1) :]


def _other(content: bytes, draw: random.Random, _: Path) -> bytes:
    """Something else altogether."""
    return draw.choice([b"", draw.randbytes(100), bytes(1000), b"\xff" * 1000, b"PK\3\4" + content, content[::-1]])


def _code(content: bytes, draw: random.Random, trace: Path) -> bytes:
    """A pickle that leaves a trace where it is run; alone, in front, or in the middle."""
    code = f"cposix\nsystem\n(S'touch {trace}'\ntR".encode()
    if draw.random() < 0.3:
        return b"\x80\x02" + code + b"."
    start = 2 if draw.random() < 0.5 else _place(content, draw)
    return content[:start] + code + content[start:]


_MUTATIONS: tuple[Callable[[bytes, random.Random, Path], bytes], ...] = (
    _flip, _flip, _cut, _without, _twice, _huge, _huge, _huge, _noise, _other, _code,
)  # fmt: skip
