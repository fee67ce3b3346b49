"""What the top Hessian eigenvalue of a trained network costs, beside other libraries' ways to it.

    pip install pyhessian hessian-eigenthings curvlinops-for-pytorch
    python benchmarks/sharpness.py [--device cuda] [--steps 400] [--examples 1000] [--rounds 3] [--json FILE]

The network of `fashion_mnist` is trained with Adam for so many steps. Each way then finds λmax of the mean loss over
the same examples in a process of its own, in turns, with its own stopping rule at a tolerance of 1e-3; where what it
returns is farther than 1e-3 from the value that all are compared with (scipy's `eigsh` to 1e-8), at 3e-4, 1e-4 and so
on, until it is not, and only that last attempt counts. Seconds are medians and do not hold what a process takes to
start; peak memory is what the process takes more than after one gradient. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from goals import Measured, table, write
from rich.console import Console
from scipy.sparse.linalg import LinearOperator, eigsh
from torch.nn import functional as F

from cmbench.curvature.eigenvalues import top_eigenvalues
from cmbench.curvature.problem import evaluation_batches, loss_hessian
from cmbench.experiments.seeding import generator
from cmbench.workloads.registry import get_workload

OURS, ACCURACY = "cmbench", 1e-3
TOLERANCES = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6)
Found = tuple[float, int]
"""An eigenvalue and the products that it took."""


class Problem:
    """The trained network in evaluation mode, and the examples."""

    def __init__(self, weights: Path, examples: int, device: torch.device) -> None:
        self.workload = get_workload("fashion_mnist")
        self.workload.load(device)
        self.model = self.workload.model().to(device).eval()
        self.model.load_state_dict(torch.load(weights, map_location=device))
        self.examples, self.device = examples, device
        ((batch, _),) = evaluation_batches(self.workload, examples, examples)
        self.inputs, self.targets = batch.inputs, batch.targets

    def by_cmbench(self, tolerance: float) -> Found:
        hessian, _ = loss_hessian(self.model, self.workload, self.examples, self.examples)
        found = top_eigenvalues(hessian, tolerance=tolerance).eigenvalues[0]
        return found.estimate, found.products

    def by_pyhessian(self, tolerance: float) -> Found:
        import pyhessian

        library = sys.modules[pyhessian.hessian.__module__]
        products, original = 0, library.hessian_vector_product

        def counted(*args):
            nonlocal products
            products += 1
            return original(*args)

        library.hessian_vector_product = counted
        data, cuda = (self.inputs, self.targets), self.device.type == "cuda"
        values, _ = library.hessian(self.model, F.cross_entropy, data=data, cuda=cuda).eigenvalues(1000, tolerance)
        return values[0], products

    def _eigenthings(self):
        from hessian_eigenthings import HessianOperator, supervised_loss

        return HessianOperator(self.model, [(self.inputs, self.targets)], supervised_loss(F.cross_entropy))

    def by_eigenthings_power(self, tolerance: float) -> Found:
        from hessian_eigenthings import power_iteration_one

        value, _, _, products, _ = power_iteration_one(self._eigenthings(), max_iter=1000, tol=tolerance)
        return float(value), products

    def by_eigenthings_lanczos(self, tolerance: float) -> Found:
        """Its number of steps is given beforehand, 2 by default: doubled until it says that they were enough."""
        from hessian_eigenthings import lanczos

        operator, products, steps = self._eigenthings(), 0, 2
        while True:
            found = lanczos(operator, k=1, max_iter=steps, tol=tolerance, which="LA")
            products += steps
            if bool(found.converged[0]) or steps > 500:
                return float(found.eigenvalues[0]), products
            steps *= 2

    def by_eigsh(self, tolerance: float) -> Found:
        from curvlinops import HessianLinearOperator

        params = [p for p in self.model.parameters() if p.requires_grad]
        data = [(self.inputs, self.targets)]
        operator = HessianLinearOperator(
            self.model, torch.nn.CrossEntropyLoss(), params, data, check_deterministic=False
        ).to_scipy()
        products = 0

        def matvec(vector: np.ndarray) -> np.ndarray:
            nonlocal products
            products += 1
            return operator @ vector.astype(np.float32)

        wrapped = LinearOperator(operator.shape, matvec=matvec, dtype=np.float32)
        values, _ = eigsh(
            wrapped, k=1, which="LA", tol=tolerance, v0=np.random.default_rng(0).normal(size=wrapped.shape[0])
        )
        return float(values[0]), products


WAYS: dict[str, Callable[[Problem, float], Found]] = {
    OURS: Problem.by_cmbench,
    "PyHessian": Problem.by_pyhessian,
    "hessian-eigenthings, power iteration": Problem.by_eigenthings_power,
    "hessian-eigenthings, Lanczos": Problem.by_eigenthings_lanczos,
    "eigsh over curvlinops": Problem.by_eigsh,
}


def measure(way: str, problem: Problem, reference: float | None) -> dict[str, float]:
    """Runs one way in this process, until it is accurate."""
    loss = F.cross_entropy(problem.model(problem.inputs), problem.targets)
    torch.autograd.grad(loss, list(problem.model.parameters()))
    before = peak(problem.device)
    for tolerance in TOLERANCES if reference is not None else (1e-8,):
        synchronize(problem.device)
        began = time.perf_counter()
        value, products = WAYS[way](problem, tolerance)
        synchronize(problem.device)
        seconds = time.perf_counter() - began
        if reference is None or abs(value - reference) <= ACCURACY * abs(reference):
            break
    return {
        "value": value, "products": products, "seconds": seconds, "tolerance": tolerance,
        "memory": peak(problem.device) - before,
    }  # fmt: skip


def peak(device: torch.device) -> float:
    """Bytes that were in use at most."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def synchronize(device: torch.device) -> None:
    """Waits for what the device is at."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def train(steps: int, weights: Path, device: torch.device) -> None:
    """Trains the network with Adam, and writes its weights."""
    workload = get_workload("fashion_mnist")
    workload.load(device)
    torch.manual_seed(0)
    model = workload.model().to(device)
    optimizer, step, epoch = torch.optim.Adam(model.parameters(), 1e-3), 0, 0
    while step < steps:
        for batch in workload.batches(128, generator(0, "order", epoch)):
            optimizer.zero_grad()
            workload.loss(model, batch, None)[0].backward()
            optimizer.step()
            step += 1
            if step == steps:
                break
        epoch += 1
    torch.save(model.state_dict(), weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "WEIGHTS", "REFERENCE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.one:
        way, weights, reference = arguments.one
        wanted = None if reference == "none" else float(reference)
        print(json.dumps(measure(way, Problem(Path(weights), arguments.examples, device), wanted)))
        return
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.pt")
        train(arguments.steps, weights, device)

        def run(way: str, reference: str) -> dict[str, float] | None:
            line = [sys.executable, __file__, "--device", arguments.device, "--examples", str(arguments.examples)]
            done = subprocess.run([*line, "--one", way, weights, reference], capture_output=True, text=True)
            if done.returncode:
                print(f"{way}: left out ({done.stderr.strip().splitlines()[-1]})", file=sys.stderr)
                return None
            return json.loads(done.stdout.splitlines()[-1])

        exact = run("eigsh over curvlinops", "none") or run(OURS, "none")
        assert exact
        rounds = [{way: run(way, repr(exact["value"])) for way in WAYS} for _ in range(arguments.rounds)]
    measured = summarized({way: [r[way] for r in rounds if r[way]] for way in WAYS})
    Console().print(table(measured, f"λmax = {exact['value']:.6g}"))
    write(arguments.json, measured)


def summarized(found: dict[str, list[dict[str, float]]]) -> list[Measured]:
    """Of each way what it took; of ours beside the best of the others."""
    of = {
        way: {name: median(each[name] for each in every) for name in ("products", "seconds", "memory")}
        for way, every in found.items()
        if every
    }
    others = [numbers for way, numbers in of.items() if way != OURS]
    measured = []
    for way, numbers in of.items():
        measured += [
            Measured("sharpness", f"{way}: Hessian-vector products", numbers["products"], ""),
            Measured("sharpness", f"{way}: time", numbers["seconds"], "s"),
            Measured("sharpness", f"{way}: peak memory", numbers["memory"] / 1e6, "MB"),
        ]
    for name, what, goal in (("products", "products", 1.0), ("seconds", "time", 0.7), ("memory", "peak memory", 1.0)):
        if others:
            ratio = of[OURS][name] / max(min(numbers[name] for numbers in others), 1e-9)
            measured.append(Measured("sharpness", f"{what} / the best of the others", ratio, "×", goal))
    return measured


if __name__ == "__main__":
    main()
