"""What the trainer costs beside a bare loop, and what batches made on the device cost beside a DataLoader.

    python benchmarks/trainer_overhead.py [--device cuda] [--steps 40] [--rounds 25] [--json FILE]

Both comparisons take turns in one process, on random images of the true shapes. Training: the network, batch size and
optimizer of `fashion_mnist`, by `cmbench.training.trainer.train` and by a loop written out over the same tensors;
evaluation is left out of both. Rounds are short and many, as what disturbs the machine for a while then spoils few of
them, and medians have their 95 % intervals beside them; what the trainer takes more in a step is measured with one
example as well, where it is not lost in the noise of what the network takes. Loading: an epoch of images like
CIFAR-10's with crops and flips, by the workload's own `batches` and by torchvision's dataset, transforms and a
DataLoader.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from goals import Measured, write
from scipy.stats import binom
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from cmbench.experiments.plan import plan_training
from cmbench.experiments.seeding import derived_seed, generator
from cmbench.experiments.suite import load_suite
from cmbench.optim import create_optimizer
from cmbench.optim.factory import implementation_options
from cmbench.training.trainer import train
from cmbench.workloads.examples import TensorClassification
from cmbench.workloads.registry import get_workload

MOST_OVERHEAD = 1.02
LEAST_LOADER_SPEED = 5


def with_random_images(name: str, device: torch.device, shape: tuple[int, ...]) -> TensorClassification:
    """A workload whose data set is replaced by as many random images as it has."""
    workload = get_workload(name)
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=noise).to(device)
    labels = torch.randint(0, 10, shape[:1], generator=noise).to(device)
    workload.train_inputs, workload.train_targets = images, labels
    workload.valid_inputs, workload.valid_targets = images[:1000], labels[:1000]
    return workload


def bare_loop(workload: TensorClassification, spec, device: torch.device) -> float:
    """Seconds of the same training, written out."""
    settings = spec.settings
    torch.manual_seed(derived_seed(spec.seed, "weights"))  # from other weights pooling takes other times
    model = workload.model().to(device)
    options = implementation_options(spec.optimizer.name, spec.implementation, device)  # the same on both sides
    optimizer = create_optimizer(spec.optimizer.name, model.parameters(), **options, **spec.optimizer.hyperparameters)
    losses = []
    synchronize(device)
    began = time.perf_counter()
    order = torch.randperm(len(workload.train_targets), generator=generator(0, "order", 0)).to(device)
    for first in range(0, settings.batch_size * settings.max_steps, settings.batch_size):
        chosen = order[first : first + settings.batch_size]
        optimizer.zero_grad()
        images = workload.train_inputs[chosen].float().div_(255).sub_(0.286).div_(0.353)
        loss = F.cross_entropy(model(images), workload.train_targets[chosen])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    torch.stack(losses).tolist()
    return time.perf_counter() - began


def by_trainer(workload: TensorClassification, spec, device: torch.device) -> float:
    """Seconds of the training by the trainer, without its evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        cost = train(spec, workload, device, lambda suffix: Path(folder, f"run{suffix}")).cost
    return cost.wall_seconds - cost.evaluation_seconds


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def overhead(device: torch.device, steps: int, rounds: int) -> list[Measured]:
    workload = with_random_images("fashion_mnist", device, (50_000, 1, 28, 28))
    print(f"training: steps of fashion_mnist's network, {rounds} rounds on {device}, with the median's 95 % interval")
    found = []
    for name in ("adam", "adam_cm"):
        whole = paired(workload, name, device, steps, rounds)
        ratios = sorted(ours / bare for bare, ours in whole)
        step = median(bare for bare, _ in whole)
        # What the trainer does in a step does not depend on how many examples it has.
        extra = sorted(ours - bare for bare, ours in paired(workload, name, device, 5 * steps, rounds, "batch_size=1"))
        low, high = interval(ratios)
        print(f"  {name:8} bare {1e3 * step:.3f} ms a step, trainer {median(ratios):.3f} × ({low:.3f} – {high:.3f})")
        low, high = (1e3 * seconds for seconds in interval(extra))
        print(f"           with one example {1e3 * median(extra):.3f} ms more a step ({low:.3f} – {high:.3f})")
        found.append(Measured("trainer", f"{name}, beside a bare loop", median(ratios), "×"))
        what = f"{name}, beside a bare loop, by what it takes more with one example"
        found.append(Measured("trainer", what, 1 + median(extra) / step, "×", MOST_OVERHEAD))
    return found


def paired(
    workload: TensorClassification, name: str, device: torch.device, steps: int, rounds: int, *sets: str
) -> list[tuple[float, float]]:
    """Seconds of a step by the bare loop and by the trainer, in each round."""
    sets = (f"max_steps={steps}", "epochs=1", "schedule=constant", *sets)
    (spec,) = plan_training(load_suite("fashion_mnist", opts=[name], sets=sets), "random", [0])
    pairs = []
    for turn in range(rounds + 1):
        both = {}
        for contender in (bare_loop, by_trainer) if turn % 2 else (by_trainer, bare_loop):
            both[contender] = contender(workload, spec, device) / steps
        pairs.append((both[bare_loop], both[by_trainer]))
    return pairs[1:]


def interval(values: list[float]) -> tuple[float, float]:
    """The 95 % interval of the median, from the order of sorted values: the sign test's."""
    below = int(binom.ppf(0.025, len(values), 0.5))
    return values[max(below - 1, 0)], values[min(len(values) - below, len(values) - 1)]


def loading(device: torch.device, rounds: int) -> float:
    count = 10_000
    workload = with_random_images("cifar10", device, (count, 3, 32, 32))
    dataset = datasets.CIFAR10.__new__(datasets.CIFAR10)  # without files: the images are put in
    dataset.data = workload.train_inputs.cpu().permute(0, 2, 3, 1).numpy()
    dataset.targets, dataset.target_transform = workload.train_targets.tolist(), None
    dataset.transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(workload.mean, workload.deviation),
        ]
    )
    workers = sorted({0, os.cpu_count() or 1})
    loaders = {
        f"DataLoader, {n} workers": DataLoader(dataset, 64, shuffle=True, num_workers=n, persistent_workers=n > 0)
        for n in workers
    }

    def ours() -> None:
        for _ in workload.batches(64, generator(0, "order", 0)):
            pass
        synchronize(device)

    def theirs(loader: DataLoader) -> None:
        for images, labels in loader:
            images.to(device), labels.to(device)
        synchronize(device)

    times: dict[str, list[float]] = {"on the device": [], **{name: [] for name in loaders}}
    for _ in range(rounds + 1):
        for name, measured in times.items():
            began = time.perf_counter()
            theirs(loaders[name]) if name in loaders else ours()
            measured.append(time.perf_counter() - began)
    typical = {name: median(measured[1:]) for name, measured in times.items()}
    print(f"loading: {count:,} images of 32×32 with crops and flips, batch size 64")
    for name, seconds in typical.items():
        print(f"  {name:22} {seconds:7.3f} s, {count / seconds:10,.0f} images a second")
    own = typical.pop("on the device")
    return min(typical.values()) / own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    device = torch.device(options.device)
    found = overhead(device, options.steps, options.rounds)
    speed = loading(device, min(options.rounds, 5))
    what = "batches made on the device, beside the faster DataLoader"
    found.append(Measured("trainer", what, speed, "×", LEAST_LOADER_SPEED, at_least=True))
    write(options.json, found)


if __name__ == "__main__":
    main()
