"""Memory that is used again and again for what a step computes in between: in the cache, and never asked for anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor


class Scratch:
    """Vectors of up to `longest` elements that hold what is computed in between, until `of` is called again."""

    def __init__(self, longest: int) -> None:
        self._longest, self._length, self._taken = longest, 0, 0
        self._whole: dict[tuple[int, torch.dtype], Tensor] = {}
        self._parts: dict[tuple[int, torch.dtype, int], Tensor] = {}

    def of(self, length: int) -> Callable[[Tensor], Tensor]:
        """What to put around vectors of this length: what their methods return lies here."""
        self._length, self._taken = length, 0
        return self._around

    def _around(self, vector: Tensor) -> Tensor:
        return cast(Tensor, _Vector(vector, self))

    def like(self, vector: Tensor) -> Tensor:
        """A vector of the type of `vector`, with any values."""
        dtype, taken = vector.dtype, self._taken
        self._taken += 1
        part = self._parts.get((taken, dtype, self._length))
        if part is None:
            if (taken, dtype) not in self._whole:
                self._whole[taken, dtype] = vector.new_empty(self._longest)
            part = self._parts[taken, dtype, self._length] = self._whole[taken, dtype][: self._length]
        return part


class _Vector:
    """The methods of a tensor that `advance` uses, as `Many` has them."""

    def __init__(self, tensor: Tensor, scratch: Scratch) -> None:
        self.tensor, self._scratch = tensor, scratch

    def _new(self) -> _Vector:
        return _Vector(self._scratch.like(self.tensor), self._scratch)

    def add_(self, other: Any) -> _Vector:
        self.tensor.add_(_operand(other))
        return self

    def mul_(self, other: Any) -> _Vector:
        self.tensor.mul_(_operand(other))
        return self

    def sub_(self, other: Any) -> _Vector:
        self.tensor.sub_(_operand(other))
        return self

    def lerp_(self, end: Any, weight: Any) -> _Vector:
        self.tensor.lerp_(end.tensor, _operand(weight))
        return self

    def lerp(self, end: Any, weight: Any) -> _Vector:
        new = self._new()
        torch.lerp(self.tensor, end.tensor, _operand(weight), out=new.tensor)
        return new

    def mul(self, other: Any) -> _Vector:
        new = self._new()
        torch.mul(self.tensor, _operand(other), out=new.tensor)
        return new

    def div(self, other: Any) -> _Vector:
        new = self._new()
        torch.div(self.tensor, _operand(other), out=new.tensor)
        return new

    def sqrt(self) -> _Vector:
        new = self._new()
        torch.sqrt(self.tensor, out=new.tensor)
        return new

    def square(self) -> _Vector:
        return self.mul(self)

    def nan_to_num_(self, nan: float, posinf: float) -> _Vector:
        self.tensor.nan_to_num_(nan, posinf)
        return self

    def type_as(self, other: Any) -> _Vector:
        return _Vector(self.tensor.type_as(other.tensor), self._scratch)


def _operand(value: Any) -> Any:
    return value.tensor if isinstance(value, _Vector) else value


def inside(one: Tensor) -> Tensor:
    """The tensor, whether `around` has wrapped it or not."""
    wrapped: Any = one
    found: Tensor = wrapped.tensor if isinstance(wrapped, _Vector) else one
    return found
