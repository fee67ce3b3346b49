"""How a command that ran something ends: its table or JSON on stdout, and its exit code."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from cmbench.experiments.execute import Interrupted, Outcome
from cmbench.experiments.plan import RunSpec
from cmbench.experiments.result import Result
from cmbench.experiments.suite import ResolvedSuite


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcomes of several plans as that of one."""
    results = [result for outcome in outcomes for result in outcome.results]
    specs = [spec for outcome in outcomes for spec in outcome.specs]
    return Outcome(results, sum(outcome.skipped for outcome in outcomes), specs)


@contextmanager
def collecting(*, json: bool) -> Iterator[list[Outcome]]:
    """A list for the outcomes of several plans; an interrupt in between prints what there is by then as JSON, too."""
    outcomes: list[Outcome] = []
    try:
        yield outcomes
    except KeyboardInterrupt as stop:
        last = [stop.outcome] if isinstance(stop, Interrupted) else []
        if json:
            _print_json(together([*outcomes, *last]))
        raise


def finish(
    outcome: Outcome,
    *,
    json: bool,
    suites: Sequence[ResolvedSuite] = (),
    specs: Sequence[RunSpec] | None = None,
    beside: Sequence[Result] = (),
) -> None:
    """Prints the results of a plan of `suites`, in one table with those `beside` them.

    Raises `typer.Exit(3)` when a run did not complete.
    """
    if json:
        _print_json(outcome)
    else:
        import cmbench.report as report

        print(report.render(report.tables([*beside, *outcome.results], suites=suites, expected=specs)), end="")
    if not outcome.ok:
        raise typer.Exit(3)


def _print_json(outcome: Outcome) -> None:
    documents = [result.model_dump(mode="json", by_alias=True) for result in outcome.results]
    print(json_module.dumps(documents, indent=1, ensure_ascii=False))
