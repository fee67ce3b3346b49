"""Whether verdicts on landscapes stay the same with fresh starts: every claim judged again and again.

    python benchmarks/fresh_starts.py [--repetitions 30] [--suite NAME …] [--json]

Each suite runs with the number of starts that its file has, from other seeds, and its claims are judged by each run
alone. A verdict is stable where it is inconclusive with the suite's own seed, or the same in 28 of 30 repetitions. Exit
code 1 where one is not.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from cmbench import run_suite
from cmbench.experiments.result import Result
from cmbench.experiments.settings import EscapeSuite, ToySuite
from cmbench.experiments.suite import load_suite
from cmbench.report.paper.claims import CLAIMS
from cmbench.report.verdicts.judge import judge

TOGETHER = 10
"""Repetitions that run as the lanes of one tensor."""


def repetitions_of(suite: str, count: int) -> list[list[Result]]:
    """The results of `count` runs of a suite, each with starts of its own."""
    settings: Any = load_suite(suite).settings
    given, starts = len(settings.start_points or ()), settings.starts
    found: list[list[Result]] = []
    for block in range(math.ceil(count / TOGETHER)):
        with tempfile.TemporaryDirectory() as folder:
            sets = [f"starts={starts * TOGETHER}", f"seed={1000 + block}"]
            results = run_suite(suite, out=folder, sets=sets).results
        for repetition in range(TOGETHER):
            begin = given + repetition * starts
            found.append([_part(result, given, begin, begin + starts, starts) for result in results])
    return found[:count]


def _part(result: Result, given: int, begin: int, end: int, starts: int) -> Result:
    """The given starts of a result, and those from `begin` to `end`."""
    lanes = {name: [*values[:given], *values[begin:end]] for name, values in result.lanes.items()}
    return result.model_copy(update={"lanes": lanes, "settings": result.settings | {"starts": starts}})


def verdicts(suites: Sequence[str], count: int) -> list[dict[str, Any]]:
    """For each claim on a landscape its verdict with the suite's own starts, and how often it has which one."""
    rows = []
    for suite in suites:
        claims = [claim for claim in CLAIMS if claim.suite == suite]
        with tempfile.TemporaryDirectory() as folder:
            own = judge(run_suite(suite, out=folder).results, claims)
        again = [judge(results, claims) for results in repetitions_of(suite, count)]
        for i, verdict in enumerate(own):
            found = Counter(each[i].verdict for each in again)
            stable = verdict.verdict == "inconclusive" or found[verdict.verdict] >= math.floor(28 / 30 * count)
            pair = verdict.deciding
            rows.append(
                {
                    "claim": verdict.claim.id,
                    "starts": verdict.n,
                    "verdict": verdict.verdict,
                    "p": verdict.p,
                    "effect": pair and pair.comparison.effect,
                    "needed": verdict.needed,
                    "again": dict(found),
                    "stable": stable,
                }
            )
            print(f"{verdict.claim.id}: {verdict.verdict}, {dict(found)}", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--suite", action="append")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    landscapes = dict.fromkeys(
        claim.suite for claim in CLAIMS if isinstance(load_suite(claim.suite).settings, (ToySuite, EscapeSuite))
    )
    rows = verdicts(arguments.suite or list(landscapes), arguments.repetitions)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        names = ("reproduced", "inconclusive", "contradicted")
        cells = [
            [row["claim"], row["starts"], row["verdict"], *(row["again"].get(name, 0) for name in names)]
            for row in rows
        ]
        print(tabulate(cells, ["claim", "starts", "verdict", *names], tablefmt="pipe", disable_numparse=True))
    sys.exit(any(not row["stable"] for row in rows))


if __name__ == "__main__":
    main()
