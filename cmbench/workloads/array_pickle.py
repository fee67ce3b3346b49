"""Pickles of numpy arrays and plain values, read without running anything that stands in them."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in a pickle of protocol 2."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding}")
    return text.encode("latin1")


# What numpy itself pickles with, wherever it keeps it: numpy.core became numpy._core in 2.0.
_RECONSTRUCT, _SCALAR = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
} | {
    (f"{core}.multiarray", name): value
    for core in ("numpy.core", "numpy._core")
    for name, value in (("_reconstruct", _RECONSTRUCT), ("scalar", _SCALAR))
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"holds {module}.{name}; accepted: arrays, numbers, text, lists, mappings")
        return _ALLOWED[module, name]


def loads(content: bytes) -> Any:
    """What is pickled in `content`; text that Python 2 has written is bytes.

    Raises `pickle.UnpicklingError` for anything but numpy arrays, numbers, text and containers of them.
    """
    return _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
