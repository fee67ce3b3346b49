"""What a benchmark has measured, beside what it should: the one form in which all of them say it.

    python benchmarks/goals.py FILE...

reads what benchmarks have written with `--json FILE` and prints one table, with the commit, the machine and the
versions; a goal that is missed is red, and makes the exit code 1. `make bench` runs all of them and this.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cmbench.experiments.environment import environment

HEADER = ("benchmark", "what", "measured", "goal")


@dataclass(frozen=True)
class Measured:
    """`value` in `unit`; `goal` is the most that it should be, or with `at_least` the least; None for no goal."""

    benchmark: str
    what: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether there is no goal, or the value keeps to it."""
        return self.goal is None or (self.value >= self.goal if self.at_least else self.value <= self.goal)

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Benchmark, what, value and goal, as they are printed."""
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {self.goal:g}"
        return self.benchmark, self.what, f"{self.value:.3g} {self.unit}", goal


def write(file: str | None, measured: Sequence[Measured]) -> None:
    """Writes what was measured, where a file is given."""
    if file:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(
            json.dumps([asdict(each) for each in measured], indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def table(measured: Sequence[Measured], title: str | None = None) -> Table:
    """A row for each; one that misses its goal is red."""
    made = Table(title=title, title_justify="left")
    for name in HEADER:
        made.add_column(name, justify="right" if name in ("measured", "goal") else "left")
    for each in measured:
        made.add_row(*each.cells, style="" if each.is_reached else "red")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    every = [Measured(**each) for file in options.files for each in json.loads(file.read_text(encoding="utf-8"))]
    here = environment()
    commit = (here["git_commit"] or "none")[:10]
    title = f"{here['cpu']}, {here['threads']} threads, torch {here['torch']}, commit {commit}"
    Console().print(table(every, title))
    return int(not all(each.is_reached for each in every))


if __name__ == "__main__":
    sys.exit(main())
