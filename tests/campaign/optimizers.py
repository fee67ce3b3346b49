"""Attacks on the optimizers: gradients that are none, sums that drift, and memory that grows."""

from __future__ import annotations

import copy
import gc
import math
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from cmbench.optim import create_optimizer, get_info, list_optimizers
from tests.campaign.attack import Attack, Outcome

SHAPES = ((4, 3), (5,), (), (0,))
CAPACITY = 3
WAYS: dict[str, dict[str, bool]] = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
VALUES = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "huge": 1e38, "denormal": 1e-40, "zeros": 0.0}
FAULTS = (*VALUES, "one nan", "none", "all none", "mixed")


@dataclass(frozen=True)
class Case:
    """One try: what is attacked with what; the same seed gives the same gradients."""

    name: str
    way: str
    dtype: torch.dtype
    fault: str
    seed: int

    def made(self, way: str) -> tuple[Optimizer, list[Tensor]]:
        params = [p.to(self.dtype).requires_grad_() for p in self.start()]
        more = {"capacity": CAPACITY, "decay": 0.7} if get_info(self.name).memory else {}
        return create_optimizer(self.name, params, lr=1e-2, **more, **accepted(self.name, way)), params

    def start(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        return [torch.randn(shape, generator=generator) for shape in SHAPES]

    def good(self, step: int) -> list[Tensor | None]:
        generator = torch.Generator().manual_seed(self.seed + 1 + step)
        return [(torch.randn(shape, generator=generator) + 0.1).to(self.dtype) for shape in SHAPES]

    def bad(self) -> list[Tensor | None]:
        chance = random.Random(self.seed)
        return [self._faulty(grad, chance) for grad in self.good(99)]

    def _faulty(self, grad: Tensor | None, chance: random.Random) -> Tensor | None:
        fault = chance.choice(FAULTS[:-1]) if self.fault == "mixed" else self.fault
        if fault == "all none" or grad is None or (fault == "none" and chance.random() < 0.5):
            return None
        if fault == "one nan":
            grad.view(-1)[:1] = math.nan
        if fault not in VALUES:
            return grad
        largest = 0.9 * torch.finfo(self.dtype).max if self.dtype == torch.float16 else math.inf
        return torch.full_like(grad, min(VALUES[fault], largest) if fault == "huge" else VALUES[fault])


def accepted(name: str, way: str) -> dict[str, bool]:
    """The options of an implementation; for a rule alone, which is torch's, those that it has."""
    if get_info(name).memory:
        return WAYS[way]
    try:
        create_optimizer(name, [torch.zeros(1, requires_grad=True)], **WAYS[way])
    except ValueError:
        return {}
    return WAYS[way]


def step(optimizer: Optimizer, params: list[Tensor], grads: list[Tensor | None]) -> None:
    def closure() -> Tensor:
        for param, grad in zip(params, grads, strict=True):
            param.grad = None if grad is None else grad.clone()
        return torch.zeros(())

    optimizer.step(closure)  # type: ignore[arg-type]


def faults(chance: random.Random, folder: Path) -> Iterator[Outcome]:
    """Every optimizer, implementation, type and fault, in an order of its own each time round."""
    while True:
        cases = list(product(list_optimizers(), WAYS, DTYPES, FAULTS))
        chance.shuffle(cases)
        for name, way, dtype, fault in cases:
            case = Case(name, way, dtype, fault, chance.randrange(10**6))
            try:
                lost = attacked(case)
            except Exception as error:  # whatever it is, it is lost
                lost = f"{type(error).__name__}: {error}"
            yield Outcome(None if lost is None else f"{case}: {lost}", fault)


def attacked(case: Case) -> str | None:
    """Good steps, a bad one, and good ones until the buffer is new; what is wrong then, if anything is."""
    optimizer, params = case.made(case.way)
    reference, others = case.made("plain")
    pairs = ((optimizer, params), (reference, others))
    for k in range(CAPACITY + 1):
        for one, own in pairs:
            step(one, own, case.good(k))
    before = [param.detach().clone() for param in params]
    for one, own in pairs:
        step(one, own, case.bad())
    if lost := after_the_fault(case, *copy.deepcopy((optimizer, params)), before):
        return lost
    for one, own in pairs:
        go_back(one, own, before)
    accepted_by_then = count(optimizer)
    for k in range(4 * CAPACITY):
        for one, own in pairs:
            step(one, own, [None if grad is None else grad * 1.05**k for grad in case.good(50 + k)])
    return goes_on(case, pairs, accepted_by_then)


def after_the_fault(case: Case, optimizer: Optimizer, params: list[Tensor], before: list[Tensor]) -> str | None:
    for record in optimizer.state_dict()["state"].values():
        entries = {key: value for key, value in record.items() if key.startswith("slot_") or key == "buffer_sum"}
        if broken := [key for key, value in entries.items() if not value.isfinite().all()]:
            return f"not finite after the fault: {', '.join(broken)}"
    torchs = [param.clone().requires_grad_() for param in before]
    alone = torch_alone(case, torchs)
    step(alone, torchs, case.bad())
    for param, old, grad in zip(params, before, case.bad(), strict=True):
        if grad is None and not torch.equal(param, old):
            return "a parameter that had no gradient has moved"
    for when in ("after the fault", "a good step later"):
        for k, (param, other, grad) in enumerate(zip(params, torchs, case.bad(), strict=True)):
            harmless = grad is None or bool(grad.isfinite().all())
            if harmless and bool(other.isfinite().all()) and not param.isfinite().all():
                return f"parameter {k}, whose gradients were finite, is not, {when}"
        if case.dtype == torch.float16:  # where ε is 0, and a square soon infinite or 0
            break
        step(optimizer, params, case.good(98))
        step(alone, torchs, case.good(98))
    return None


def torch_alone(case: Case, params: list[Tensor]) -> Optimizer:
    return create_optimizer(get_info(case.name).rule.key, params, lr=1e-2, foreach=False)


def go_back(optimizer: Optimizer, params: list[Tensor], to: list[Tensor]) -> None:
    """What a person does after NaN: the parameters from before, and everything but the buffer as at the start."""
    with torch.no_grad():
        for param, value in zip(params, to, strict=True):
            param.copy_(value)
            for key, kept in optimizer.state[param].items():
                if not key.startswith(("slot_", "buffer_sum", "priorities", "ages", "accepted", "step")):
                    kept.zero_()


def count(optimizer: Optimizer) -> int:
    base = getattr(optimizer, "base", optimizer)
    counted = [record["accepted"] for record in base.state.values() if "accepted" in record]
    return int(counted[0]) if counted else 0


def goes_on(case: Case, pairs: tuple[tuple[Optimizer, list[Tensor]], ...], accepted_by_then: int) -> str | None:
    (optimizer, params), (reference, others) = pairs
    kept = (value for record in reference.state.values() for key, value in record.items() if key != "priorities")
    if case.dtype == torch.float16 and not all(value.isfinite().all() for value in (*others, *kept)):
        return None  # 65504 is soon exceeded by a square, in plain's arithmetic and in torch's
    if get_info(case.name).memory:
        stats = getattr(optimizer, "base", optimizer).buffer_stats()
        if stats.occupancy != CAPACITY or count(optimizer) < accepted_by_then + CAPACITY:
            return f"the buffer is not refilled: {stats.occupancy}, {count(optimizer) - accepted_by_then} accepted"
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-4}.get(case.dtype, 100 * torch.finfo(case.dtype).eps)
    mine, plain = optimizer.state_dict()["state"], reference.state_dict()["state"]
    both: list[tuple[str, Any, Any]] = [(f"parameter {k}", *p) for k, p in enumerate(zip(params, others, strict=True))]
    both += [(f"{key} of {i}", mine[i][key], value) for i, record in plain.items() for key, value in record.items()]
    for what, a, b in both:
        scale = tolerance * max(1.0, float(b.detach().double().abs().nan_to_num(posinf=0).max()) if b.numel() else 1.0)
        finite = torch.ones_like(b, dtype=torch.bool) if case.dtype != torch.float16 else b.isfinite()
        if not torch.allclose(a.double()[finite], b.double()[finite], rtol=tolerance, atol=scale):
            return f"{what} is not what plain has: {a.tolist()}, {b.tolist()}"
    return None


def drift(chance: random.Random, folder: Path) -> Iterator[Outcome]:
    """20,000 steps with gradients that shrink to a ten-thousandth; the running sum beside that of the slots."""
    steps, memories = 20_000, [name for name in list_optimizers() if get_info(name).memory and not get_info(name).probe]
    while True:
        name, way, slots = chance.choice(memories), chance.choice(list(WAYS)), chance.choice(["float32", "bfloat16"])
        params = [torch.zeros(7, requires_grad=True)]
        optimizer = create_optimizer(name, params, lr=1e-4, buffer_dtype=slots, **WAYS[way])
        generator = torch.Generator().manual_seed(chance.randrange(10**6))
        worst = 0.0
        for k in range(steps):
            params[0].grad = torch.randn(7, generator=generator) * 1e-4 ** (k / steps)
            optimizer.step()
            if k % 997 == 0 or k == steps - 1:
                worst = max(worst, apart(optimizer))
        lost = None if worst < 1e-4 else f"{name}, {way}, {slots}: the running sum is off by {worst:.1e} of its size"
        yield Outcome(lost, way)


def apart(optimizer: Optimizer) -> float:
    """How far the running sum is from that of the slots in float64, as a part of their size."""
    record = optimizer.state_dict()["state"][0]
    slots = torch.stack([value.double() for key, value in record.items() if key.startswith("slot_")])
    return float((record["buffer_sum"].double() - slots.sum(0)).abs().max() / slots.abs().sum(0).max().clamp(min=1e-30))


class Growth:
    """Memory in use at given steps of any optimizer: what Python has allocated, and what the process holds, in MB."""

    def __init__(self, at: tuple[int, int]) -> None:
        self._at, self._steps = at, 0
        self._seen: list[tuple[float, float]] = []

    def __enter__(self) -> Growth:
        tracemalloc.start()
        self._handle = register_optimizer_step_post_hook(lambda *_: self._count())
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()
        tracemalloc.stop()

    def _count(self) -> None:
        self._steps += 1
        if self._steps in self._at:
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self._seen.append((tracemalloc.get_traced_memory()[0] / 2**20, pages * 4096 / 2**20))

    def too_much(self) -> str | None:
        if len(self._seen) < 2:
            return f"only {self._steps} steps"
        python, held = (after - before for before, after in zip(*self._seen, strict=True))
        return f"{python:.2f} MB by Python, {held:.2f} MB held" if python > 1 or held > 4 else None


def memory_of_steps(chance: random.Random, folder: Path) -> Iterator[Outcome]:
    """10,000 steps of an optimizer."""
    while True:
        name, way = chance.choice(list_optimizers()), chance.choice(list(WAYS))
        case = Case(name, way, torch.float32, "", chance.randrange(10**6))
        optimizer, params = case.made(way)
        grads = [case.good(k) for k in range(8)]
        with Growth((5_000, 10_000)) as growth:
            for k in range(10_001):
                step(optimizer, params, grads[k % 8])
        lost = growth.too_much()
        yield Outcome(None if lost is None else f"{name}, {way}, second half of 10,000 steps: {lost}", way)


def memory_of_commands(chance: random.Random, folder: Path) -> Iterator[Outcome]:
    """10,000 steps by `cmbench toy`, then by `cmbench train`, in turn."""
    from typer.testing import CliRunner

    from cmbench.cli.main import app

    lines = {
        "toy": ("toy", "--suite", "levy", "--opt", "adam_cm", "--starts", "4", "--steps", "10100"),
        "train": ("train", "--suite", "wine", "--opt", "adam_cm", "--seeds", "1", "--set", "epochs=2600"),
    }
    for number in range(10**9):
        for command, line in lines.items():
            with Growth((5_000, 10_000)) as growth:
                done = CliRunner().invoke(app, [*line, "--quiet", "--force", "--out", str(folder / str(number))])
            lost = growth.too_much() if done.exit_code == 0 else f"exit code {done.exit_code}: {done.output}"
            yield Outcome(None if lost is None else f"{command}, second half of 10,000 steps: {lost}", command)


ATTACKS = (
    Attack(
        "Gradients that are none: every optimizer",
        "no exception; what had a finite gradient stays finite where torch's does; the buffer is finite, refilled, and "
        "equal to plain's",
        1_000,
        faults,
    ),
    Attack(
        "Gradients that shrink ten-thousandfold over 20,000 steps",
        "the buffer's running sum is that of its entries to 1e-4",
        4,
        drift,
    ),
    Attack("10,000 steps of an optimizer", "memory in the second half grows by less than 1 MB", 4, memory_of_steps),
    Attack("10,000 steps of toy and train", "memory in the second half grows by less than 1 MB", 2, memory_of_commands),
)
