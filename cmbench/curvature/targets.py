"""What `cmbench sharpness` is pointed at: from a name or a path to a training run and the weights that it has left."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cmbench.errors import MissingResults, UserError
from cmbench.experiments.files import BEST, RESULT, WEIGHTS, folder_name
from cmbench.experiments.measurements import READ_BY, SharpnessSettings
from cmbench.experiments.result import Result
from cmbench.experiments.settings import SharpnessSuite
from cmbench.experiments.store import ResultStore
from cmbench.training import checkpoint

_RUN_ID = re.compile(r"[0-9a-f]{6,16}")
_EPOCH = "epoch="


class Target(NamedTuple):
    """A completed training run: its result, the file of that, and which of its weights are meant, if that is said."""

    path: Path
    result: Result
    at: str | None = None

    def named(self, at: str) -> str:
        """What another run's measurement at the weights `at` calls this one: its id, with `@best` or `@last` where this
        one's weights are others.
        """
        return self.result.id if self.at in (None, at) else f"{self.result.id}@{self.at}"

    def weights(self, at: str) -> Path:
        """The file of the weights `at` (`last`, `best`, `epoch=N`); raises `UserError` where they are not kept."""
        last, best = (self.path.with_suffix(suffix) for suffix in (WEIGHTS, BEST))
        if not at.startswith(_EPOCH):
            path = best if at == "best" else last
            if not path.exists():
                raise UserError(f"{path}: the weights of this run are gone")
            return path
        kept: dict[int, Path] = {checkpoint.load(path)["epoch"]: path for path in (best, last) if path.exists()}
        try:
            return kept[int(at.removeprefix(_EPOCH))]
        except (KeyError, ValueError):
            epochs = " and ".join(f"{_EPOCH}{epoch}" for epoch in sorted(kept)) or "none"
            raise UserError(f"{self.path}: --at {at}: weights are kept of: {epochs}") from None

    def root(self, out: Path) -> Path:
        """The folder of results that it lies in; `out`, where its file lies elsewhere than in its suite's folder."""
        place = self.path.absolute()
        mine = [folder_name(self.result.suite.name), folder_name(self.result.label)]
        return place.parents[2] if [*place.parts[-3:-1]] == mine else out


def find_targets(texts: Iterable[str | Path], out: Path, opts: Sequence[str] = ()) -> list[Target]:
    """The runs that `texts` name, each once; only of `opts`, labels or names, where there are any.

    A text is the path of a result, of weights, or of a folder of results, also relative to `out`; the id of a run, or
    its first six characters or more; or `SUITE[/OPTIMIZER]`. Measurements among files are passed over. Raises
    `UserError` for one that names no completed training run, and `MissingResults` where a suite has none.
    """
    found: dict[tuple[Path, str | None], Target] = {}
    given = [str(text) for text in texts]
    for text in given:
        for target in _named(text, out):
            if not opts or {target.result.label, _optimizer(target.result)} & {*opts}:
                found.setdefault((target.path.absolute(), target.at), target)
    if not found:
        raise UserError(f"{given[0]}: measurements alone are given; accepted: results of completed training runs")
    return list(found.values())


def completed_runs(out: Path, suite: str, opts: Sequence[str] = ()) -> list[Target]:
    """The completed training runs of `suite`; only of `opts`, labels or names, where there are any.

    Raises `MissingResults` where there are none.
    """
    found = [
        Target(path, result)
        for path, result in ResultStore(out).results(suite)
        if _is_run(result) and (not opts or {result.label, _optimizer(result)} & {*opts})
    ]
    if not found:
        raise MissingResults(f"no completed run of '{suite}' in {out}: cmbench train --suite {suite}")
    return found


def runs_of(suite: SharpnessSuite, out: Path, opts: Sequence[str] = ()) -> list[Target]:
    """The completed runs that a suite measures; raises `MissingResults` where one of its training suites has none."""
    return [target for name in suite.of for target in completed_runs(out, name, opts)]


def other_runs(ways: Sequence[SharpnessSettings], out: Path) -> dict[str, Target]:
    """The other runs that the ways name; raises `UserError` for a text that does not name one run."""
    return {text: other_run(text, out) for way in ways if "to" in READ_BY[way.metric] for text in way.to}


def other_run(text: str, out: Path) -> Target:
    """The one run that `text` names, as for `find_targets`, or as `Target.named` does.

    Raises `UserError` where it names none, or several.
    """
    run, _, at = text.partition("@")
    if _RUN_ID.fullmatch(run) and at in ("best", "last"):
        return other_run(run, out)._replace(at=at)
    found = find_targets([text], out)
    if len(found) > 1:
        few = ", ".join(target.path.stem for target in found[:3]) + (", …" if len(found) > 3 else "")
        raise UserError(f"--to {text}: {len(found)} runs ({few}); accepted: one run: its result, its weights or its id")
    return found[0]


def _optimizer(result: Result) -> str | None:
    return result.optimizer.name if result.optimizer else None


def _is_run(result: Result) -> bool:
    return result.kind == "train" and result.status == "completed"


def _named(text: str, out: Path) -> list[Target]:
    for path in (Path(text), out / text):
        if path.is_file():
            return _of_file(path)
        if path.is_dir():
            return _of_folder(path)
    if _RUN_ID.fullmatch(text) and (paths := sorted(out.glob(f"*/*/{text}*{RESULT}"))):
        return [target for path in paths for target in _of_file(path)]
    suite, _, optimizer = text.partition("/")
    if text.endswith((RESULT, WEIGHTS)) or "/" in optimizer:
        raise UserError(f"{text}: no such result; accepted: a run's result, its weights, its id, a folder, or a suite")
    return completed_runs(out, suite, [optimizer] if optimizer else [])


def _of_file(path: Path) -> list[Target]:
    at: str | None = None
    for suffix, which in ((BEST, "best"), (WEIGHTS, "last")):
        if path.name.endswith(suffix):
            path, at = path.with_name(path.name.removesuffix(suffix) + RESULT), which
            break
    result = ResultStore.read(path)
    if result.kind == "sharpness":
        return []
    if not _is_run(result):
        raise UserError(f"{path}: a {result.kind} run that is {result.status}; accepted: a completed training run")
    return [Target(path, result, at)]


def _of_folder(path: Path) -> list[Target]:
    found = [Target(file, result) for file, result in ResultStore(path).results() if _is_run(result)]
    if not found:
        raise MissingResults(f"{path}: no result of a completed training run is in this folder")
    return found
