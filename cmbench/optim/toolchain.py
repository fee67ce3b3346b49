"""Compiles the native step once per machine into the user's cache, and loads it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("native.c")
OFF = "CMBENCH_NO_NATIVE"
"""A variable of the environment: if it is set, and not to 0, nothing is compiled."""

_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-ffp-contract=off", "-shared", "-fPIC")
_THREADS = ("-fopenmp",)
"""Not every compiler has OpenMP: without, one thread does it."""


def is_off() -> bool:
    """Whether the user wants none of it."""
    return os.environ.get(OFF, "0") not in ("", "0")


def folder() -> Path:
    """Where compiled steps are kept: `cmbench/native` in $XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cmbench" / "native"


def library(defines: tuple[str, ...]) -> ctypes.CDLL:
    """The native step compiled with `defines`, `NAME=VALUE` each, by $CC with $CFLAGS after our own flags.

    A file for each content of source, compiler, flags and processor; written under another name and then renamed, so
    that any number of processes may do it at once; in a folder of this process alone where the cache cannot be
    written. Raises `CompilerError` where there is no compiler and where it refuses, `OSError` where what it has made
    cannot be loaded.
    """
    compiler = _compiler()
    own = (*_FLAGS, *os.environ.get("CFLAGS", "").split(), *(f"-D{define}" for define in defines))
    marks = (SOURCE.read_text(encoding="utf-8"), _version(compiler), _processor(), compiler, *_THREADS, *own)
    name = f"{hashlib.sha256(chr(0).join(marks).encode()).hexdigest()[:32]}.so"
    try:
        place = folder()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ctypes.CDLL(str(_made(place / name, compiler, own)))
    except (OSError, RuntimeError):  # the latter where nobody knows a home
        return ctypes.CDLL(str(_made(Path(_own_folder()) / name, compiler, own)))


def _made(file: Path, compiler: str, flags: tuple[str, ...]) -> Path:
    if not file.exists():
        try:
            _compile([compiler, *_THREADS, *flags], file)
        except CompilerError:
            _compile([compiler, *flags], file)
    return file


def _compile(command: list[str], made: Path) -> None:
    handle, unfinished = tempfile.mkstemp(dir=made.parent, suffix=".so")
    os.close(handle)
    try:
        done: Any = subprocess.run([*command, str(SOURCE), "-o", unfinished], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise CompilerError(f"{Path(command[0]).name}: {lines[0] if lines else f'exit code {done.returncode}'}")
        os.replace(unfinished, made)
    finally:
        Path(unfinished).unlink(missing_ok=True)


class CompilerError(Exception):
    """There is no compiler, or it refuses."""


@cache
def _own_folder() -> str:
    """A folder of this process alone, for a machine whose cache cannot be written."""
    own = tempfile.TemporaryDirectory(prefix="cmbench-")
    _kept.append(own)
    return own.name


_kept: list[tempfile.TemporaryDirectory[str]] = []


def _compiler() -> str:
    """$CC, else the machine's own."""
    wanted = os.environ.get("CC", "")
    for name in [wanted] if wanted else ["cc", "gcc", "clang"]:
        if found := shutil.which(name):
            return found
    raise CompilerError(f"no C compiler: {wanted or 'cc, gcc, clang'}")


@cache
def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout


@cache
def _processor() -> str:
    """What `-march=native` stands for: the processor's name and what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU "))}))
