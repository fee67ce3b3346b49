"""Finds the stored results that were asked for, and says what would produce those that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cmbench.errors import suggest
from cmbench.experiments.grid import shipped, suite_of_grid
from cmbench.experiments.result import Result
from cmbench.experiments.store import ResultStore, folder_name
from cmbench.experiments.suite import ResolvedSuite, builtin_suites, load_suite


@dataclass(frozen=True)
class Collection:
    """Results in the order of their files, the suites named by file, and a message per suite without results."""

    results: list[Result]
    suites: list[ResolvedSuite]
    missing: list[str]


def collect(out: Path, names: Sequence[str] = ()) -> Collection:
    """Reads the results below `out`: all of them, or those of the suites that `names` gives by name or file.

    Raises `UserError` naming a file that holds no result, or a suite file that cannot be used.
    """
    store = ResultStore(out)
    if not names:
        results = [result for _, result in store.results()]
        missing = [] if results else [f"{out}: no results; for some: cmbench train --suite digits{_out(out)}"]
        return Collection(results, [], missing)
    results, suites, missing = [], [], []
    for name in dict.fromkeys(names):
        is_file = name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name
        suite = load_suite(name) if is_file else shipped(name)
        stem = suite.name if suite else name
        own = [result for _, result in store.results(stem) if result.suite.name == stem]
        if is_file:
            suites.append(suite)
        results += own
        if not own:
            folder = out / folder_name(stem)
            if suite:
                grid = suite_of_grid(name) if suite.first_seed else None
                which = f"{grid} --grid" if grid else name
                command = f"cmbench {suite.settings.kind} --suite {which}{_out(out)}"
                missing.append(f"{folder}: no results of suite '{stem}'; to get them: {command}")
            else:
                known = {*builtin_suites(), *(path.name for path in out.glob("*") if path.is_dir())}
                hint = suggest(name, sorted(known))
                command = f"cmbench train --suite {name}.yaml{_out(out)} runs a suite of your own"
                missing.append(f"{folder}: no results of suite '{name}': {hint}{command}")
    return Collection(results, suites, missing)


def _out(out: Path) -> str:
    return "" if out == Path("results") else f" --out {out}"
