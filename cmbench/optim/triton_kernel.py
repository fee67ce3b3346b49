"""One step of a rule with a memory over all tensors of a parameter group, in one pass over their memory, in Triton.

The counterpart of native.c, for a GPU: a program updates one chunk of one tensor. What it is told of lies on the
device, its own decision included, and it returns nothing to the host:

    tensor, begin, length (chunks,)   chunk k is the elements from begin[k] on, length[k] ≤ CHUNK of them, of tensor[k]
    places (PLACES, tensors)          addresses by tensor, 0 where there is no such state, and the bytes of a slot
    gradients (tensors,)              the addresses of the gradients
    index, accept (tensors,)          the slot that the entry goes into, and whether it does
    coefficients (NUMBERS + …, tensors), of the type that is computed in

PARAM is the type of parameters, gradients and state, SLOT that of the buffer's entries, WIDE what is computed in, and
the type of the entries' sum. IS_CM: the memory is that of critical momenta, else of critical gradients. IS_BEFORE: what
goes into a slot is the entry of the step before, which is still in the memory's state. FAST: a chunk is whole, and all
that belongs to it lies at multiples of 16 bytes, so that a thread reads and writes 16 at once.

The arithmetic is that of `update.advance` with the rule's own file, which are the reference.
"""

from __future__ import annotations

import triton
import triton.language as tl

ADAM, SGD, RMSPROP = tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)
RULES = {"ADAM": ADAM, "SGD": SGD, "RMSPROP": RMSPROP}
"""The rules that are known, by their keys in capitals."""

PARAM_AT, MEMORY_AT, MOMENTUM_AT, SQUARE_AT, TOTAL_AT, SLOT_AT, SLOT_BYTES, PLACES = map(tl.constexpr, range(8))
SIGN, L2, RENEWAL, SCALE, SHRINKAGE, NUMBERS = map(tl.constexpr, range(6))


@triton.jit
def _lanes(begin, length, CHUNK: tl.constexpr, FAST: tl.constexpr):
    """The elements of a chunk, and which of these there are."""
    lane = tl.arange(0, CHUNK)
    here = lane < length
    if FAST:
        here = tl.full((CHUNK,), 1, tl.int1)
    return begin + lane, here


@triton.jit
def _pointer(address, at, TYPE: tl.constexpr, FAST: tl.constexpr):
    first = address.to(tl.pointer_type(TYPE))
    if FAST:
        first = tl.multiple_of(first, 16)
    return first + at


@triton.jit
def _cast(value, TYPE: tl.constexpr):
    """By way of float32, the only type that bfloat16 is converted from and to, and by way of which torch rounds a
    float64 to float16.
    """
    if value.dtype == tl.bfloat16 or tl.bfloat16 == TYPE or tl.float16 == TYPE:
        value = value.to(tl.float32)
    return value.to(TYPE)


@triton.jit
def _read(address, at, here, TYPE: tl.constexpr, WIDE: tl.constexpr, FAST: tl.constexpr):
    """The elements `at` of what lies at an address; 0 where there is none."""
    return _cast(tl.load(_pointer(address, at, TYPE, FAST), mask=here, other=0.0), WIDE)


@triton.jit
def _write(address, at, here, value, TYPE: tl.constexpr, FAST: tl.constexpr):
    tl.store(_pointer(address, at, TYPE, FAST), value.to(TYPE), mask=here)


@triton.jit
def _gradient(grad, p, sign, l2, at, here, PARAM: tl.constexpr, WIDE: tl.constexpr, FAST: tl.constexpr):
    """What the rule takes for the gradient."""
    return sign * _read(grad, at, here, PARAM, WIDE, FAST) + l2 * p


@triton.jit
def _inserted(slot, total_at, total, entry, at, goes, SLOT: tl.constexpr, WIDE: tl.constexpr, FAST: tl.constexpr):
    """Stores the entry where it goes; the sum of the slots then."""
    kept = _cast(entry, SLOT)
    old = _read(slot, at, goes, SLOT, WIDE, FAST)
    # Select, don't multiply: 0 · (inf − old) would be NaN.
    total = tl.where(goes, total + (_cast(kept, WIDE) - old), total)
    _write(slot, at, goes, kept, SLOT, FAST)
    _write(total_at, at, goes, total, WIDE, FAST)
    return total


@triton.jit
def _moved(
    p, aggregate, momentum, square, numbers, tensors, at, here,
    RULE: tl.constexpr, HAS_MOMENTUM: tl.constexpr, PARAM: tl.constexpr, WIDE: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """The parameter after the rule's step along the aggregate; `numbers` points to the rule's first."""
    direction = aggregate
    if HAS_MOMENTUM:
        before = _read(momentum, at, here, PARAM, WIDE, FAST)
    if RULE != SGD:
        v = _read(square, at, here, PARAM, WIDE, FAST)
        v += tl.load(numbers + tensors) * (aggregate * aggregate - v)
        v = tl.where(v == v, v, float("inf"))  # one that has overflown stays infinite
        _write(square, at, here, v, PARAM, FAST)
    if RULE == ADAM:
        # 1 − β₁, 1 − β₂, α/(1−β₁ᵗ), 1/√(1−β₂ᵗ), ε
        if HAS_MOMENTUM:
            direction = before + tl.load(numbers) * (aggregate - before)
            _write(momentum, at, here, direction, PARAM, FAST)
        deviation = tl.sqrt(v) * tl.load(numbers + 3 * tensors) + tl.load(numbers + 4 * tensors)
        p -= tl.load(numbers + 2 * tensors) * (direction / deviation)
    elif RULE == SGD:
        # α, μ
        if HAS_MOMENTUM:
            direction += tl.load(numbers + tensors) * before
            _write(momentum, at, here, direction, PARAM, FAST)
        p -= tl.load(numbers) * direction
    else:
        # α, 1 − a, ε, μ
        move = direction / (tl.sqrt(v) + tl.load(numbers + 2 * tensors))
        if HAS_MOMENTUM:
            move += tl.load(numbers + 3 * tensors) * before
            _write(momentum, at, here, move, PARAM, FAST)
        p -= tl.load(numbers) * move
    return p


@triton.jit
def _swept(
    param, grad, memory, momentum, square, total_at, slot, accept, coefficients, tensors, begin, length,
    RULE: tl.constexpr, IS_CM: tl.constexpr, IS_BEFORE: tl.constexpr, HAS_MOMENTUM: tl.constexpr,
    PARAM: tl.constexpr, SLOT: tl.constexpr, WIDE: tl.constexpr, CHUNK: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Updates a chunk of the tensor that lies at these addresses; the sum of its gradient's squares."""
    at, here = _lanes(begin, length, CHUNK, FAST)
    goes = here & accept
    p = _read(param, at, here, PARAM, WIDE, FAST)
    total = _read(total_at, at, here, WIDE, WIDE, FAST)
    sign, l2 = tl.load(coefficients + SIGN * tensors), tl.load(coefficients + L2 * tensors)
    g = _gradient(grad, p, sign, l2, at, here, PARAM, WIDE, FAST)
    entry = g
    if IS_CM:
        entry = _read(memory, at, here, PARAM, WIDE, FAST)
        if IS_BEFORE:
            total = _inserted(slot, total_at, total, entry, at, goes, SLOT, WIDE, FAST)
        entry += tl.load(coefficients + RENEWAL * tensors) * (g - entry)
        _write(memory, at, here, entry, PARAM, FAST)
    aggregate = entry + total * tl.load(coefficients + SCALE * tensors)
    if not IS_BEFORE:
        _inserted(slot, total_at, total, entry, at, goes, SLOT, WIDE, FAST)
    p *= tl.load(coefficients + SHRINKAGE * tensors)
    numbers = coefficients + NUMBERS * tensors
    p = _moved(p, aggregate, momentum, square, numbers, tensors, at, here, RULE, HAS_MOMENTUM, PARAM, WIDE, FAST)
    _write(param, at, here, p, PARAM, FAST)
    return tl.sum(g * g)


@triton.jit(do_not_specialize=["tensors"])
def step(
    tensor, begin, length, places, gradients, coefficients, squares, tensors, index, accept,
    RULE: tl.constexpr, IS_CM: tl.constexpr, IS_BEFORE: tl.constexpr, HAS_MOMENTUM: tl.constexpr,
    PARAM: tl.constexpr, SLOT: tl.constexpr, WIDE: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """One step. `squares` (chunks,) gets the sum of the gradient's squares of each chunk."""
    k = tl.program_id(0)
    i = tl.load(tensor + k)
    first, many = tl.multiple_of(tl.load(begin + k), 16), tl.load(length + k)
    own = places + i
    param, grad = tl.load(own + PARAM_AT * tensors), tl.load(gradients + i)
    memory, momentum = tl.load(own + MEMORY_AT * tensors), tl.load(own + MOMENTUM_AT * tensors)
    square, total = tl.load(own + SQUARE_AT * tensors), tl.load(own + TOTAL_AT * tensors)
    slot = tl.load(own + SLOT_AT * tensors) + tl.load(index + i) * tl.load(own + SLOT_BYTES * tensors)
    goes = tl.load(accept + i) != 0
    if (((param | grad | memory | momentum | square | total | slot) % 16) == 0) & (many == CHUNK):
        found = _swept(
            param, grad, memory, momentum, square, total, slot, goes, coefficients + i, tensors, first, many,
            RULE, IS_CM, IS_BEFORE, HAS_MOMENTUM, PARAM, SLOT, WIDE, CHUNK, True,
        )  # fmt: skip
    else:
        found = _swept(
            param, grad, memory, momentum, square, total, slot, goes, coefficients + i, tensors, first, many,
            RULE, IS_CM, IS_BEFORE, HAS_MOMENTUM, PARAM, SLOT, WIDE, CHUNK, False,
        )  # fmt: skip
    tl.store(squares + k, found.to(tl.float64))


@triton.jit
def _measured(
    param, grad, memory, coefficients, tensors, begin, length,
    OF_ENTRY: tl.constexpr, PARAM: tl.constexpr, WIDE: tl.constexpr, CHUNK: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    at, here = _lanes(begin, length, CHUNK, FAST)
    p = _read(param, at, here, PARAM, WIDE, FAST)
    sign, l2 = tl.load(coefficients + SIGN * tensors), tl.load(coefficients + L2 * tensors)
    ranked = _gradient(grad, p, sign, l2, at, here, PARAM, WIDE, FAST)
    if OF_ENTRY:
        before = _read(memory, at, here, PARAM, WIDE, FAST)
        ranked = before + tl.load(coefficients + RENEWAL * tensors) * (ranked - before)
    return tl.sum(ranked * ranked)


@triton.jit(do_not_specialize=["tensors"])
def measure(
    tensor, begin, length, places, gradients, coefficients, squares, tensors,
    OF_ENTRY: tl.constexpr, PARAM: tl.constexpr, WIDE: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The sum of squares of what ranks the entry of each chunk, before it is made: of the entry, or of the gradient."""
    k = tl.program_id(0)
    i = tl.load(tensor + k)
    first, many = tl.multiple_of(tl.load(begin + k), 16), tl.load(length + k)
    param, memory = tl.load(places + PARAM_AT * tensors + i), tl.load(places + MEMORY_AT * tensors + i)
    grad, own = tl.load(gradients + i), coefficients + i
    if (((param | grad | memory) % 16) == 0) & (many == CHUNK):
        found = _measured(param, grad, memory, own, tensors, first, many, OF_ENTRY, PARAM, WIDE, CHUNK, True)
    else:
        found = _measured(param, grad, memory, own, tensors, first, many, OF_ENTRY, PARAM, WIDE, CHUNK, False)
    tl.store(squares + k, found.to(tl.float64))


@triton.jit
def root(squares, ends, norms, CHUNK: tl.constexpr):
    """The root of the sum of each tensor's `squares`, those from ends[i] to ends[i + 1], always in the same order."""
    i = tl.program_id(0)
    lane = tl.arange(0, CHUNK)
    end = tl.load(ends + i + 1)
    found = tl.zeros((CHUNK,), tl.float64)
    for at in range(tl.load(ends + i), end, CHUNK):
        found += tl.load(squares + at + lane, mask=at + lane < end, other=0.0)
    tl.store(norms + i, tl.sqrt(tl.sum(found)))
