"""How long one step takes: Adam+CM and SGD+CM beside torch's Adam and SGD, and beside what users pick.

All take turns in one process, so that a machine that drifts slows all of them; what is printed are medians with their
quartiles, and the median of the ratios to torch's, turn by turn. "bandwidth" is what a step must move at least, as a
share of what copying a tensor as long as the parameters moves; more than all, because a copy also reads the memory that
it overwrites. Beside them, where they are installed or given: AdamW of pytorch_optimizer and of HeavyBall, and the
authors' Adam_CM.

    python benchmarks/optimizer_step.py [--model resnet34] [--rounds 15] [--authors PATH] [--threads N] [--device cuda]
        [--json FILE]

PATH is a checkout of the authors' repository (it holds `cmoptimizer/optim.py`).
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torchvision
from goals import Measured, write
from rich.console import Console
from rich.table import Table

from cmbench.optim import SGDCM, AdamCG, AdamCM

Params = list[torch.nn.Parameter]
FIRST_STEP = """
import time, tempfile, os
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
import torch, torchvision
from cmbench.optim import AdamCM
params = list(torchvision.models.resnet34().parameters())
for param in params:
    param.grad = torch.ones_like(param)
optimizer = AdamCM(params, fused=True)
began = time.perf_counter()
optimizer.step()
print(time.perf_counter() - began)
"""


@dataclass
class Contender:
    """An optimizer over a copy of the model's parameters.

    It is compared with the one called `against`, of whose time it should take at most `goal` times, by model; `bytes`
    is what a step must move per float32 parameter.
    """

    name: str
    make: Callable[[Params], torch.optim.Optimizer]
    against: str | None = None
    bytes: int | None = None
    goal: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def over(self, other: Contender) -> float:
        """The median of the ratios of the times in a turn."""
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))


def main() -> None:
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    measured = [each for name in arguments.model or MODELS for each in compare(name, device, arguments)]
    if device.type == "cpu":
        done = subprocess.run([sys.executable, "-c", FIRST_STEP], capture_output=True, text=True, check=True)
        measured.append(Measured("optimizer step", "first step with compilation", float(done.stdout), "s", 1.5))
        print(f"the first step, with an empty cache: {float(done.stdout):.2f} s")
    write(arguments.json, measured)


MODELS = ("resnet34", "efficientnet_b0")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", help="a torchvision model; repeatable")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--authors", metavar="PATH")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def contenders(authors: str | None) -> Iterator[Contender]:
    adam, sgd = torch.optim.Adam, torch.optim.SGD
    yield Contender("torch Adam foreach", lambda p: adam(p, foreach=True), bytes=28)
    yield Contender("torch Adam fused", lambda p: adam(p, fused=True), bytes=28)
    yield Contender("torch SGD momentum fused", lambda p: sgd(p, lr=1e-3, momentum=0.9, fused=True), bytes=20)
    yield Contender("Adam+CM plain", lambda p: AdamCM(p, foreach=False), "torch Adam foreach", 44)
    # With λ = 1e-9 every step replaces an entry; with 1, and equal gradients, none does once the buffer is full.
    all_, none = {"decay": 1e-9}, {"decay": 1.0}
    yield Contender("Adam+CM foreach", lambda p: AdamCM(p, **all_), "torch Adam foreach", 44, {"resnet34": 1.3})
    fused, base = {"fused": True}, "torch Adam fused"
    goal = {"resnet34": 1.4, "efficientnet_b0": 1.6}
    yield Contender("Adam+CM fused", lambda p: AdamCM(p, **all_, **fused), base, 44, goal)
    goal = {"resnet34": 1.15}
    yield Contender("Adam+CM fused, none replaced", lambda p: AdamCM(p, **none, **fused), base, 32, goal)
    yield Contender("Adam+CM fused, C = 20", lambda p: AdamCM(p, capacity=20, **all_, **fused), base, 44)
    goal = {"resnet34": 1.35}
    half = {"buffer_dtype": torch.bfloat16}
    yield Contender("Adam+CM fused, bf16 slots", lambda p: AdamCM(p, **half, **all_, **fused), base, 40, goal)
    yield Contender("Adam+CG fused", lambda p: AdamCG(p, **all_, **fused), base, 48)
    goal, base = {"resnet34": 1.4}, "torch SGD momentum fused"
    yield Contender("SGD+CM fused", lambda p: SGDCM(p, lr=1e-3, momentum=0.9, **all_, **fused), base, 36, goal)
    for package, options in (("pytorch_optimizer", {}), ("heavyball", {"compile_step": True})):
        if made := _class(package):
            yield Contender(f"{package} AdamW", lambda p, m=made, o=options: m(p, lr=1e-3, **o), "torch Adam fused")
    if authors:
        sys.path.insert(0, authors)
        from cmoptimizer.optim import Adam_CM

        yield Contender("authors' Adam_CM", lambda p: Adam_CM(p, lr=1e-3, topC=5, decay=0.7))


def _class(package: str) -> Callable[..., torch.optim.Optimizer] | None:
    """AdamW of a package; None where it is not installed."""
    try:
        return importlib.import_module(package).AdamW
    except ImportError:
        return None


def over_copies(shapes: list[torch.Size], device: torch.device, one: Contender) -> torch.optim.Optimizer:
    """The contender's optimizer over parameters of its own; all have the same gradients, which no step changes."""
    return one.make([torch.nn.Parameter(torch.randn(shape, device=device)) for shape in shapes])


def _params(optimizer: torch.optim.Optimizer) -> Params:
    return [param for group in optimizer.param_groups for param in group["params"]]


def timed(action: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(model: str, device: torch.device, arguments: argparse.Namespace) -> list[Measured]:
    """Prints the table of a model; returns what has a goal."""
    shapes = [p.shape for p in torchvision.models.get_model(model).parameters()]
    count = sum(shape.numel() for shape in shapes)
    torch.manual_seed(0)
    gradients = [torch.randn(shape, device=device) * 1e-2 for shape in shapes]
    everyone = list(contenders(arguments.authors))
    optimizers = {one.name: over_copies(shapes, device, one) for one in everyone}
    source, target = torch.zeros(count, device=device), torch.zeros(count, device=device)
    copies: list[float] = []
    for turn in range(arguments.rounds + 6):
        for one in everyone:
            for param, gradient in zip(_params(optimizers[one.name]), gradients, strict=True):
                param.grad = gradient  # some drop it when they have used it
            seconds = timed(optimizers[one.name].step, device)
            if turn >= 6:  # what came before filled the buffer, compiled, and warmed up
                one.seconds.append(seconds)
        copies.append(timed(lambda: target.copy_(source), device))
    bandwidth = 8 * count / statistics.median(copies)
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    title = f"{model}: {count / 1e6:.1f} M parameters, {device}{threads}, copy {bandwidth / 1e9:.1f} GB/s"
    Console(width=120).print(_table(title, everyone, optimizers, count, bandwidth))
    return list(_measured(model, everyone))


def _measured(model: str, everyone: list[Contender]) -> Iterator[Measured]:
    by_name = {one.name: one for one in everyone}
    for one in everyone:
        if one.against:
            what = f"{model}: {one.name} beside {one.against}"
            yield Measured("optimizer step", what, one.over(by_name[one.against]), "×", one.goal.get(model))
    if theirs := by_name.get("authors' Adam_CM"):
        speed = theirs.over(by_name["Adam+CM fused"])
        yield Measured("optimizer step", f"{model}: faster than the authors' Adam_CM", speed, "×", 5, at_least=True)


def _table(
    title: str,
    everyone: list[Contender],
    optimizers: dict[str, torch.optim.Optimizer],
    count: int,
    bandwidth: float,
) -> Table:
    by_name = {one.name: one for one in everyone}
    theirs = by_name.get("authors' Adam_CM")
    table = Table(title=title, title_justify="left")
    table.add_column("optimizer, C = 5", no_wrap=True)
    for column in ("ms", "quartiles", "× torch's", "authors' ×", "state B/param", "bandwidth"):
        table.add_column(column, justify="right")
    for one in everyone:
        low, _, high = statistics.quantiles(one.seconds, n=4)
        table.add_row(
            one.name,
            f"{1e3 * one.median:.1f}",
            f"{1e3 * low:.1f} – {1e3 * high:.1f}",
            f"{one.over(by_name[one.against]):.2f}" if one.against else "",
            f"{theirs.over(one):.1f}" if theirs and one is not theirs else "",
            f"{state_bytes(optimizers[one.name]) / count:.1f}" if one.bytes else "",
            f"{one.bytes * count / one.median / bandwidth:.0%}" if one.bytes else "",
        )
    return table


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    seen = {id(v): v for state in optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor)}
    return sum(v.numel() * v.element_size() for v in seen.values())


if __name__ == "__main__":
    main()
