"""Compressed bytes, unpacked as far as they may reach: a few kilobytes may stand for gigabytes."""

from __future__ import annotations

import zlib

_GZIP = 16
"""Added to the window, it lets zlib read gzip's header."""


def unpacked(content: bytes | memoryview, most: int, *, gzip: bool = False) -> bytes:
    """What zlib or gzip has packed in `content`, at most `most` bytes.

    Raises `ValueError` for more, and for content that is broken, cut off or something else.
    """
    stream = zlib.decompressobj(zlib.MAX_WBITS + (_GZIP if gzip else 0))
    try:
        found = stream.decompress(content, most + 1)
    except zlib.error as error:
        raise ValueError(f"cannot be unpacked: {error}") from None
    if len(found) > most:
        raise ValueError(f"unpacks to more than {most:,} bytes")
    if not stream.eof:
        raise ValueError("cannot be unpacked: is cut off")
    return found
