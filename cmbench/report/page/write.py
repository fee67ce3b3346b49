"""Writes the page of what is asked for into one file."""

from __future__ import annotations

from pathlib import Path

from cmbench.errors import UserError
from cmbench.experiments.atomic import write_bytes
from cmbench.report.asked import Asked
from cmbench.report.figures.drawing import Views
from cmbench.report.page.build import render_page
from cmbench.report.results import Results, load_results
from cmbench.report.tables.build import grouped_tables
from cmbench.report.verdicts.judge import judge


def write_page(file: Path | str, asked: Asked, views: Views) -> bool:
    """Writes the page about what is `asked` for to `file`; False, and no file, where there is nothing to show.

    With a table or figure of the paper come the runs of its suites. Claims are judged by all results, as `judge` does;
    where something is asked for, those of other suites are not shown. `views` gives the surface that a result's
    settings name. Raises `UserError` where `file` cannot be a file.
    """
    file = Path(file)
    if file.is_dir():
        raise UserError(f"--html {file}: accepted: a file, e.g. {file / 'report.html'}")
    if blocked := next((each for each in file.parents if each.exists() and not each.is_dir()), None):
        raise UserError(f"--html {file}: {blocked} is no folder")
    results, groups = list(asked.results), list(asked.groups)
    shown = set(asked.suites)
    for own in asked.of_place.values():
        more = Results(tuple(each for each in own.records if each.suite.name not in shown), own.suites)
        shown |= {each.suite.name for each in more}
        results += more
        groups += grouped_tables(more)
    if not results and not asked.of_places:
        return False
    everything = not (asked.suites or asked.places)
    names = {result.suite.name for result in results}
    every = asked.results if everything else load_results(asked.out)
    verdicts = [verdict for verdict in judge(every) if everything or verdict.claim.suite in names]
    measured = [result for result in results if result.kind == "sharpness"]
    page = render_page(groups, verdicts, views, measured=measured, places=asked.of_places)
    write_bytes(file, page.encode())
    return True
