"""Tries every attack as often as the minutes allow, and prints what has survived."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path

from tabulate import tabulate

import tests.campaign
from cmbench.version import VERSION
from tests.campaign.attack import Attack

HOUR = 60.0
BEGIN, END = "<!-- table: python -m tests.campaign -->", "<!-- end of the table -->"


@dataclass
class Tally:
    """What came of a row: how often it was tried, what was hit, and what was lost."""

    name: str
    holds: str
    tried: int = 0
    where: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0


def attacks() -> dict[str, Attack]:
    """Every row, by its name, module by module."""
    found: dict[str, Attack] = {}
    for module in pkgutil.iter_modules(tests.campaign.__path__):
        if not module.name.startswith("_"):
            own = getattr(importlib.import_module(f"tests.campaign.{module.name}"), "ATTACKS", ())
            found |= {attack.name: attack for attack in own}
    return found


def carried_out(name: str, seed: int, minutes: float) -> Tally:
    """One row: its share of the tries, but no longer than the minutes."""
    attack = attacks()[name]
    tally, where, began = Tally(attack.name, attack.holds), Counter[str](), time.monotonic()
    wanted = max(1, round(attack.tries * min(1.0, minutes / HOUR)))
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
        tries = attack.run(random.Random(f"{seed} {name}"), Path(folder).resolve())
        for outcome in tries:
            tally.tried += 1
            where.update([outcome.where] if outcome.where else [])
            if outcome.lost:
                tally.lost.append(outcome.lost)
                print(f"LOST: {name}: {outcome.lost}", file=sys.stderr, flush=True)
            if tally.tried >= wanted or time.monotonic() - began > minutes * 60:
                break
            if (parent := parent_process()) and not parent.is_alive():  # whoever wanted to know is gone
                break
        tries.close()
    tally.where, tally.seconds = dict(sorted(where.items())), time.monotonic() - began
    return tally


def table(tallies: list[Tally]) -> str:
    """As it stands in the documentation."""
    rows = [
        [
            tally.name,
            tally.holds,
            f"{tally.tried:,}",
            f"{tally.tried - len(tally.lost):,}",
            ", ".join(f"{place}: {count:,}" for place, count in tally.where.items()),
        ]
        for tally in tallies
    ]
    return tabulate(rows, ("attack", "what must hold", "tried", "survived", "of these"), "pipe", disable_numparse=True)


def main() -> int:
    """Prints the table; exit code 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=HOUR)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rows", default="", help="only rows whose name holds this")
    parser.add_argument("--jobs", type=int, default=2, help="rows at once")
    parser.add_argument("--keep", type=Path, help="a file for the tallies, which other rows are added to")
    parser.add_argument("--page", type=Path, help="a page whose table is replaced")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    order = list(attacks())
    chosen = [name for name in order if options.rows in name]
    kept = {}
    if options.keep and options.keep.exists():
        kept = {row["name"]: Tally(**row) for row in json.loads(options.keep.read_text(encoding="utf-8"))}
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(carried_out, name, options.seed, options.minutes) for name in chosen]
        for future in as_completed(futures):
            done = future.result()
            kept[done.name] = done
            print(f"{done.name}: {done.tried} tried, {len(done.lost)} lost, {done.seconds:.0f} s", file=sys.stderr)
            if options.keep:
                rows = [asdict(kept[name]) for name in order if name in kept]
                options.keep.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    tallies = [kept[name] for name in order if name in kept]
    text = table(tallies)
    print(f"cmbench {VERSION}, seed {options.seed}\n{text}")
    if options.page:
        before, _, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        options.page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return int(any(tally.lost for tally in tallies))
