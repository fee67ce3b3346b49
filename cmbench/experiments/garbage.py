"""What lies in a folder of results and serves nobody any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmbench.experiments.atomic import is_abandoned
from cmbench.experiments.execute import Outcome
from cmbench.experiments.files import BEST, RESULT, RESUME, WEIGHTS, folder_name
from cmbench.experiments.grid import shipped, suite_of_grid
from cmbench.experiments.lease import FOLDER, Leases
from cmbench.experiments.store import ResultStore
from cmbench.experiments.sweep.space import SUFFIX


@dataclass(frozen=True)
class Garbage:
    """Files that go together, and why nobody needs them."""

    reason: str
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(file.stat().st_size for file in self.files if file.exists())

    def remove(self) -> None:
        """Removes the files, and folders that are empty then."""
        for file in self.files:
            file.unlink(missing_ok=True)
        folders = {parent for file in self.files for parent in (file.parent, file.parent.parent)}
        for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):  # the inner ones first
            if folder.name != FOLDER and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def garbage_of(
    store: ResultStore, known: Sequence[str] = (), unreadable: list[str] | None = None, *, unknown_suites: bool = False
) -> list[Garbage]:
    """What can go: checkpoints and leases of finished runs, files that were being written by processes that have died.

    With `unknown_suites` also the results of suites that neither ship with cmbench nor are `known`. Nothing of a run
    that a living process is at, and no file that holds no result: what is wrong with it is added to `unreadable`.
    """
    leases = Leases(store.root)
    live = {run for run, held in leases.all().items() if held.is_live}
    checkpoints, given_back, unknown = list[Path](), set[Path](), dict[str, list[Path]]()
    for path, result in store.results(unreadable=unreadable):
        if result.id in live:
            continue
        if result.kind == "train" and result.finished:
            given_back.update(leases.folder.glob(f"{result.id}.*"))
            if (checkpoint := path.with_suffix(RESUME)).exists():
                checkpoints.append(checkpoint)
        if unknown_suites and not _is_known(result.suite.name, known):
            files = [path.with_suffix(suffix) for suffix in (RESULT, WEIGHTS, BEST, RESUME)]
            unknown.setdefault(result.suite.name, []).extend(file for file in files if file.exists())
    gone = {file for files in unknown.values() for file in files}
    found = [
        ("checkpoints of finished runs", [file for file in checkpoints if file not in gone]),
        ("leases of finished runs", sorted(given_back)),
        ("half-written files of processes that died", sorted(_half_written(store.root))),
        *((f"results of '{suite}', which no suite is called", files) for suite, files in sorted(unknown.items())),
    ]
    return [Garbage(reason, tuple(files)) for reason, files in found if files]


def unknown_suites(store: ResultStore, known: Sequence[str] = ()) -> dict[str, int]:
    """How many results there are of each suite that neither ships with cmbench nor is `known`."""
    names = [result.suite.name for _, result in store.results(unreadable=[]) if not _is_known(result.suite.name, known)]
    return {name: names.count(name) for name in sorted(set(names))}


def _is_known(suite: str, known: Sequence[str]) -> bool:
    """Whether a suite, or the grid or the sweep of one, ships with cmbench or is among the names `known`."""
    suite = suite.removesuffix(SUFFIX)
    return bool({folder_name(suite), suite, suite_of_grid(suite)} & {*known}) or shipped(suite) is not None


def _half_written(root: Path) -> Iterator[Path]:
    for path in root.rglob(".*.tmp"):
        if path.is_file() and is_abandoned(path):
            yield path


def forget_finished(outcome: Outcome, store: ResultStore, leases: Leases) -> None:
    """Removes what processes that died have left of finished runs: leases, and checkpoints older than the result.

    A later one is that of a run that records more, or is made again.
    """
    finished = [spec for spec, result in zip(outcome.specs, outcome.results, strict=True) if result.finished]
    leases.forget_finished({spec.id for spec in finished})
    for spec in finished:
        checkpoint = store.path(spec, RESUME)
        with contextlib.suppress(OSError):
            if checkpoint.stat().st_mtime <= store.path(spec).stat().st_mtime and not leases.is_held(spec.id):
                checkpoint.unlink()
