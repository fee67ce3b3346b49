"""Pickles of numpy arrays and plain values, read without Python's unpickler: nothing that stands in them is run."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

MOST_STEPS = 2_000_000
"""Opcodes of a file: CIFAR-100 has 500,000, and a reader of many more would not come back."""
LONGEST_KEY = 100
ACCEPTED = "arrays, numbers, text, lists, mappings"

_GLOBALS = {("numpy", "ndarray"): "ndarray", ("numpy", "dtype"): "dtype", ("_codecs", "encode"): "encode"} | {
    # What numpy itself pickles with, wherever it keeps it: numpy.core became numpy._core in 2.0.
    (f"{core}.multiarray", name): name.lstrip("_")
    for core in ("numpy.core", "numpy._core")
    for name in ("_reconstruct", "scalar")
}
_KINDS = {f"{kind}{size}" for kind, sizes in {"b": "1", "i": "1248", "u": "1248", "f": "248"}.items() for size in sizes}
_BYTES = ("STRING", "BINSTRING", "SHORT_BINSTRING")
"""What Python 2 wrote as text."""
_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}


class _Global(str):
    """One of the few functions and classes that may be named; it is never called."""


class _Dtype:
    """A type of numbers, as it is described so far."""

    def __init__(self, kind: Any) -> None:
        self.kind, self.order = _text(kind), "|"
        if self.kind not in _KINDS:
            raise pickle.UnpicklingError(f"holds values of a type that is none of numbers; accepted: {ACCEPTED}")

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(f"{self.order}{self.kind}")


def loads(content: bytes) -> Any:
    """What is pickled in `content`; text that Python 2 has written is bytes.

    A machine of our own goes through the opcodes: Python's calls what a file names, lets it change what it has called,
    and takes memory and time as the file pleases. Keys are short text, arrays hold numbers, and all that is made takes
    at most twice the bytes of `content`. Raises `pickle.UnpicklingError` for anything else.
    """
    return _Machine(2 * len(content)).run(content)


class _Machine:
    """The stack, its marks and the memo of one reading; `budget` is how many bytes it may yet make of what it read."""

    def __init__(self, budget: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.budget = budget

    def run(self, content: bytes) -> Any:
        try:
            for step, (opcode, argument, _) in enumerate(pickletools.genops(content)):
                if step == MOST_STEPS:
                    raise pickle.UnpicklingError(f"more than {MOST_STEPS:,} steps")
                if opcode.name == "STOP":
                    break
                self._step(opcode.name, argument)
            return self.stack.pop()
        except pickle.UnpicklingError:
            raise
        except Exception as error:
            # Of a file that is no pickle: it takes from an empty stack, names what is not in the memo, …
            raise pickle.UnpicklingError(f"broken: {type(error).__name__}: {str(error)[:100]}") from None

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _BYTES:
            self.stack.append(argument.encode("latin1"))
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name not in ("PROTO", "FRAME"):
            act = _ACTS.get(name)
            if act is None:
                raise pickle.UnpicklingError(f"holds the opcode {name}; accepted: {ACCEPTED}")
            act(self, argument)

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def name(self, argument: str) -> None:
        self._push_global(*argument.split(" ", 1))

    def stack_name(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_global(_text(module), _text(name))

    def _push_global(self, module: str, name: str) -> None:
        if (module, name) not in _GLOBALS:
            raise pickle.UnpicklingError(f"holds {module[:100]}.{name[:100]}; accepted: {ACCEPTED}")
        self.stack.append(_Global(_GLOBALS[module, name]))

    def tuple_of(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise pickle.UnpicklingError("appends to what is no list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise pickle.UnpicklingError("sets items of what is no mapping")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Others may take for ever to hash or to compare: a tuple of tuples, a number of a million digits.
            if type(key) not in (bytes, str) or len(key) > LONGEST_KEY:
                raise pickle.UnpicklingError(f"a key that is no text of at most {LONGEST_KEY} characters")
            target[key] = value

    def reduce(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not _Global or type(arguments) is not tuple:
            raise pickle.UnpicklingError("calls what is no function")
        if function == "reconstruct":
            self.stack.append(np.empty(0, np.uint8))  # until its state comes
        elif function == "dtype":
            self.stack.append(_Dtype(arguments[0]))
        elif function == "scalar":
            dtype, content = arguments
            self.stack.append(np.frombuffer(self._paid(content), dtype.numpy(), 1)[0])
        elif function == "encode" and arguments[1:] in (("latin1",), ("latin-1",)):
            self.stack.append(self._paid(arguments[0]).encode("latin1"))
        else:
            raise pickle.UnpicklingError(f"calls {function} with what it does not take")

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is _Dtype and type(state) is tuple and state[2:5] == (None, None, None):
            if _text(state[1]) not in ("|", "<", ">", "="):
                raise pickle.UnpicklingError("an unknown order of bytes")
            target.order = _text(state[1])
        elif type(target) is np.ndarray and type(state) is tuple:
            _, shape, dtype, fortran, content = state
            self._fill(target, shape, dtype, fortran is True or fortran == 1, content)
        else:
            raise pickle.UnpicklingError("gives a state to what has none")

    def _fill(self, array: np.ndarray, shape: Any, described: Any, fortran: bool, content: Any) -> None:
        """Gives an array what is in it, which numpy's own way must be spared: it believes what it is told."""
        if type(described) is not _Dtype or type(content) is not bytes or type(shape) is not tuple or len(shape) > 8:
            raise pickle.UnpicklingError("an array of something else than numbers")
        dtype, count = described.numpy(), 1
        for size in shape:
            if type(size) is not int or not 0 <= size <= len(content):
                raise pickle.UnpicklingError("an array of another shape than its bytes")
            count *= size
        if count * dtype.itemsize != len(content):
            raise pickle.UnpicklingError("an array of another shape than its bytes")
        array.__setstate__((1, shape, dtype, fortran, self._paid(content)))  # type: ignore[arg-type]

    def _paid(self, content: Any) -> Any:
        """`content`, which is made once more; a file may name the same bytes a million times."""
        if type(content) not in (bytes, str):
            raise pickle.UnpicklingError("something else where bytes belong")
        self.budget -= len(content)
        if self.budget < 0:
            raise pickle.UnpicklingError("makes more of its bytes than they are")
        return content


_ACTS: Mapping[str, Callable[[_Machine, Any], Any]] = {
    "MARK": _Machine.mark,
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, _: _new_mapping(machine),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}


def _new_mapping(machine: _Machine) -> None:
    items = machine.since_mark()
    machine.stack.append({})
    machine.set_items(items)


def _text(value: Any) -> str:
    """Text, also where Python 2 has written it as bytes."""
    if type(value) not in (bytes, str):
        raise pickle.UnpicklingError("something else where a name belongs")
    return value.decode("latin1") if type(value) is bytes else str(value)
