"""Learning rates for a landscape suite: the same trials for every optimizer, on starts that its results are not from.

    python benchmarks/peers.py levy_peers
    python benchmarks/peers.py escape_peers --starts 10

Prints, for each optimizer of the suite, what comes out at each learning rate, and the best one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict

from cmbench import run_suite
from cmbench.experiments.suite import load_suite

RATES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
SEED = 1000


def quality(result) -> float:
    """Of one cell, more is better: the share of starts at the flat minimum, or the negative mean loss at the end."""
    metrics = result.metrics
    value = metrics.get("escape_ratio_reached", -metrics["loss_final"] if metrics["loss_final"] is not None else None)
    return float("-inf") if value is None or result.status != "completed" else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("--starts", type=int, default=20)
    options = parser.parse_args()
    found: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    labels = [spec.label for spec in load_suite(options.suite).optimizers]
    with tempfile.TemporaryDirectory() as folder:
        for rate in RATES:
            sets = [f"lr={rate}", f"seed={SEED}", f"starts={options.starts}"]
            for result in run_suite(options.suite, out=folder, sets=sets).results:
                found[result.label][rate].append(quality(result))
    for label in labels:
        means = {rate: sum(values) / len(values) for rate, values in found[label].items()}
        best = max(means, key=means.__getitem__)
        print(f"{label}: lr {best:g}; " + ", ".join(f"{rate:g}: {value:.4g}" for rate, value in means.items()))


if __name__ == "__main__":
    main()
