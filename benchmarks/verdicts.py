"""How often verdicts are wrong, and how often they find what is there, on simulated results of known truth.

    python benchmarks/verdicts.py [--repetitions 10000] [--json]

Every row is one kind of measurement, number of pairs and truth. "No effect": both optimizers draw from the same
distribution. "Three without effect": a claim of three comparisons, one optimizer against three that do not differ from
it. "1 sd": the mean difference is one standard deviation of the differences (of truth values 0.9). `reproduced` and
`contradicted` are the shares of repetitions with that verdict, `coverage` that of 95 % intervals that hold the true
difference, `bare means` the share in which every mean has the claimed order. `needed` is the number of pairs that the
rule computes from the true difference, here half of 1 sd, and `power there` the share of `reproduced` with that many.

Values of one pair share a common part, as runs of one seed do. Exit code 1 where a false verdict is more frequent than
5 % by more than its own sampling error.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from tabulate import tabulate

from cmbench.report.comparison import LEVEL, Comparison, compare
from cmbench.report.verdicts.rule import Asserted, decide

Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A kind of measurement: `noise` draws an optimizer's own part, of any mean; `deviation` is its own deviation."""

    name: str
    noise: Draw
    deviation: float
    share: bool = False


KINDS = (
    Kind("normal", lambda rng, n: rng.normal(size=n), 1.0),
    Kind("heavy-tailed (t, 3 degrees)", lambda rng, n: rng.standard_t(3, n), math.sqrt(3)),
    Kind("skewed (exponential)", lambda rng, n: rng.exponential(size=n), 1.0),
    Kind("skewed (log-normal)", lambda rng, n: rng.lognormal(0, 1, n), math.sqrt((math.e - 1) * math.e)),
    Kind("binary", lambda rng, n: rng.random(n), 0.0, share=True),
)


@dataclass
class Row:
    """One line of the table; shares are of the repetitions."""

    kind: str
    pairs: int
    truth: str
    reproduced: float
    contradicted: float
    coverage: float | None
    bare_means: float
    needed: int | None = None
    power_there: float | None = None


def values(kind: Kind, rng: np.random.Generator, n: int, effect: float, others: int) -> tuple[list, list[list]]:
    """Those of one optimizer, better by `effect` than its opponents, and of each opponent.

    A binary one succeeds where a number drawn for the pair, jointly for both with chance ½, is below its chance: ½, or
    with an effect ¾ against ¼.
    """
    if kind.share:
        chances = [0.75 if effect else 0.5, *[0.25 if effect else 0.5] * others]
        common, joint = rng.random(n), rng.random(n) < 0.5
        drawn = [np.where(joint, common, rng.random(n)) < chance for chance in chances]
        return [bool(v) for v in drawn[0]], [[bool(v) for v in each] for each in drawn[1:]]
    common = 3 * rng.normal(size=n)
    first, *rest = (list(common + kind.noise(rng, n)) for _ in range(1 + others))
    return [value + effect for value in first], rest


def simulate(kind: Kind, n: int, effect: float, repetitions: int, rng: np.random.Generator, others: int = 1) -> Row:
    """The verdicts on a claim that one optimizer is better than `others` equal ones."""
    counts, covered, intervals, ordered = {"reproduced": 0, "contradicted": 0, "inconclusive": 0}, 0, 0, 0
    truth = effect and (0.5 if kind.share else effect)
    for _ in range(repetitions):
        ours, theirs = values(kind, rng, n, effect, others)
        comparisons = [compare(ours, each) for each in theirs]
        counts[decide([Asserted(each, 1) for each in comparisons]).verdict] += 1
        ordered += all(each.effect > 0 for each in comparisons)
        for low, high in (each.interval for each in comparisons if each.interval):
            covered, intervals = covered + (low <= truth <= high), intervals + 1
    return Row(
        kind.name,
        n,
        f"{'1 sd' if effect else 'no effect' if others == 1 else 'three without effect'}",
        counts["reproduced"] / repetitions,
        counts["contradicted"] / repetitions,
        covered / intervals if intervals else None,
        ordered / repetitions,
    )


def rows(repetitions: int, seed: int = 0) -> list[Row]:
    """All of the table."""
    found = []
    rng = np.random.default_rng(seed)
    for kind in KINDS:
        one = kind.deviation * math.sqrt(2) or 1.0  # the deviation of a difference of two
        for n in (3, 5, 20):
            found.append(simulate(kind, n, 0.0, repetitions, rng))
            found.append(simulate(kind, n, 0.0, repetitions, rng, others=3))
            found.append(simulate(kind, n, one, repetitions, rng))
        found[-1] = with_power(found[-1], kind, one, repetitions, rng)
    return found


def with_power(row: Row, kind: Kind, effect: float, repetitions: int, rng: np.random.Generator) -> Row:
    """`row` with the number of pairs that half its effect (of shares: all of it) needs, and the power found there."""
    if kind.share:
        # Both agree on a joint number unless it lies between their chances; so do two numbers of their own.
        gained, lost = 0.5 * 0.5 + 0.5 * 0.75 * 0.75, 0.5 * 0.25 * 0.25
        true, deviation = gained - lost, math.sqrt(gained + lost - (gained - lost) ** 2)
        needed = Comparison(true, deviation, 10**6, True, p=0.5).needed()
    else:
        effect /= 2
        needed = Comparison(0.5, 1.0, 10**6, False, p=0.5).needed()
    assert needed is not None
    row.needed, row.power_there = needed, simulate(kind, needed, effect, repetitions, rng).reproduced
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = rows(arguments.repetitions)
    if arguments.json:
        print(json.dumps([asdict(row) for row in found], indent=1))
    else:
        headers = ["measurement", "pairs", "truth", "reproduced", "contradicted", "coverage", "bare means", "needed",
                   "power there"]  # fmt: skip
        cells = [
            [r.kind, r.pairs, r.truth, *map(percent, (r.reproduced, r.contradicted, r.coverage, r.bare_means)),
             r.needed or "", "" if r.power_there is None else percent(r.power_there)]
            for r in found
        ]  # fmt: skip
        align = ("left", "right", "left", *["right"] * 6)
        print(tabulate(cells, headers, tablefmt="pipe", colalign=align, disable_numparse=True))
    bound = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / arguments.repetitions)
    false = [r for r in found if r.contradicted > bound or (r.truth != "1 sd" and r.reproduced > bound)]
    for row in false:
        print(f"{row.kind}, {row.pairs} pairs, {row.truth}: more than 5 % false verdicts", file=sys.stderr)
    sys.exit(bool(false))


def percent(share: float | None) -> str:
    return "—" if share is None else f"{share:.1%}".replace("%", " %")


if __name__ == "__main__":
    main()
