"""How long one step takes: torch's Adam, Adam+CM in its implementations, and the authors' Adam_CM where it is given.

All take turns in one process, so that a machine that drifts slows all of them; what is printed are medians with their
quartiles, and ratios between medians. "bandwidth" is what a step must move at least, as a share of what copying a
tensor as long as the parameters moves; more than all, because a copy also reads the memory that it overwrites.

    python benchmarks/optimizer_step.py [--model resnet34] [--rounds 15] [--authors PATH] [--threads N] [--device cuda]

PATH is a checkout of the authors' repository (it holds `cmoptimizer/optim.py`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torchvision
from rich.console import Console
from rich.table import Table

from cmbench.optim import AdamCG, AdamCM


@dataclass
class Contender:
    """An optimizer over a copy of the model's parameters; `bytes` is what a step must move per float32 parameter."""

    name: str
    against: str | None
    bytes: int | None
    optimizer: torch.optim.Optimizer
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    for name in arguments.model or ["resnet34", "efficientnet_b0"]:
        compare(name, device, arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", help="a torchvision model; repeatable")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--authors", metavar="PATH")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def contenders(shapes: list[torch.Size], device: torch.device, authors: str | None) -> list[Contender]:
    torch.manual_seed(0)
    gradients = [torch.randn(shape, device=device) * 1e-2 for shape in shapes]

    def over_copies(make: Callable) -> torch.optim.Optimizer:
        params = [torch.nn.Parameter(torch.randn(shape, device=device)) for shape in shapes]
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = gradient  # all have the same: a step reads it, and changes nothing in it
        return make(params)

    adam = torch.optim.Adam
    rows = [
        ("torch Adam foreach", None, 28, lambda p: adam(p, foreach=True)),
        ("torch Adam fused", None, 28, lambda p: adam(p, fused=True)),
        ("Adam+CM plain", "torch Adam foreach", 44, lambda p: AdamCM(p, foreach=False)),
    ]
    # With λ = 1e-9 every step replaces an entry; with 1, and equal gradients, none does once the buffer is full.
    for way, options in (("foreach", {}), ("fused", {"fused": True})):
        base = f"torch Adam {way}"
        rows += [
            (f"Adam+CM {way} C=5", base, 44, lambda p, o=options: AdamCM(p, decay=1e-9, **o)),
            (f"Adam+CM {way} C=5, none replaced", base, 44, lambda p, o=options: AdamCM(p, decay=1.0, **o)),
            (f"Adam+CM {way} C=20", base, 44, lambda p, o=options: AdamCM(p, capacity=20, decay=1e-9, **o)),
            (f"Adam+CM {way} C=5, bf16 slots", base, 40, lambda p, o=options: bf16(p, o)),
            (f"Adam+CG {way} C=5", base, 48, lambda p, o=options: AdamCG(p, decay=1e-9, **o)),
        ]
    if authors:
        sys.path.insert(0, authors)
        from cmoptimizer.optim import Adam_CM

        rows.append(("authors' Adam_CM C=5", None, None, lambda p: Adam_CM(p, lr=1e-3, topC=5, decay=0.7)))
    return [Contender(name, against, moved, over_copies(make)) for name, against, moved, make in rows]


def bf16(params: list[torch.nn.Parameter], options: dict) -> AdamCM:
    return AdamCM(params, decay=1e-9, buffer_dtype=torch.bfloat16, **options)


def timed(action: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(model: str, device: torch.device, arguments: argparse.Namespace) -> None:
    shapes = [p.shape for p in torchvision.models.get_model(model).parameters()]
    count = sum(shape.numel() for shape in shapes)
    everyone = contenders(shapes, device, arguments.authors)
    source, target = torch.zeros(count, device=device), torch.zeros(count, device=device)
    copies: list[float] = []
    for turn in range(arguments.rounds + 6):
        for one in everyone:
            seconds = timed(one.optimizer.step, device)
            if turn >= 6:  # what came before filled the buffer, compiled, and warmed up
                one.seconds.append(seconds)
        copies.append(timed(lambda: target.copy_(source), device))
    bandwidth = 8 * count / statistics.median(copies)
    by_name = {one.name: one for one in everyone}
    theirs = next((one for one in everyone if one.name.startswith("authors'")), None)

    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    title = f"{model}: {count / 1e6:.1f} M parameters, {device}{threads}, copy {bandwidth / 1e9:.1f} GB/s"
    table = Table(title=title, title_justify="left")
    table.add_column("optimizer", no_wrap=True)
    for column in ("ms", "quartiles", "× torch's", "authors' ×", "state B/param", "bandwidth"):
        table.add_column(column, justify="right")
    for one in everyone:
        low, _, high = statistics.quantiles(one.seconds, n=4)
        table.add_row(
            one.name,
            f"{1e3 * one.median:.1f}",
            f"{1e3 * low:.1f} – {1e3 * high:.1f}",
            f"{one.median / by_name[one.against].median:.2f}" if one.against else "",
            f"{theirs.median / one.median:.1f}" if theirs and one is not theirs else "",
            f"{state_bytes(one.optimizer) / count:.1f}" if one.bytes else "",
            f"{one.bytes * count / one.median / bandwidth:.0%}" if one.bytes else "",
        )
    Console(width=120).print(table)


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    seen = {id(v): v for state in optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor)}
    return sum(v.numel() * v.element_size() for v in seen.values())


if __name__ == "__main__":
    main()
