"""Puts the page together: sections as HTML, what is drawn and told as data, plotly's program once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

from cmbench.experiments.result import Result
from cmbench.report.captions import plural
from cmbench.report.figures.drawing import Views
from cmbench.report.page import embed
from cmbench.report.page.claims import claims_html
from cmbench.report.page.curves import learning_curves
from cmbench.report.page.details import Details
from cmbench.report.page.embed import text
from cmbench.report.page.paths import Detail, has_paths, trajectories
from cmbench.report.page.spectra import spectra
from cmbench.report.page.tables import table_html
from cmbench.report.table import Table
from cmbench.report.tables.build import GroupTables
from cmbench.report.verdicts.judge import Verdict
from cmbench.version import VERSION

_MANY = 12
"""From so many sections on, the list of them is folded."""


def render_page(
    groups: Sequence[GroupTables],
    verdicts: Sequence[Verdict],
    views: Views,
    *,
    measured: Sequence[Result] = (),
    places: Sequence[Table] = (),
) -> str:
    """The page, a whole HTML document that asks the network for nothing.

    `groups` are runs with their tables, `measured` the sharpness measurements of runs (of which spectra are drawn),
    `places` tables across suites, which stand first; `views` gives the surface that a result's settings name. What
    comes from results stands there as text only; scripts other than the two of the page are forbidden.
    """
    details, figures = Details(), _Figures(views, Detail.of(sum(has_paths(each.group) for each in groups)))
    sections = {"claims": ("Claims", claims_html(verdicts))} if verdicts else {}
    for i, table in enumerate(places):
        html = table_html(table, f"P{i + 1}", "Across suites", [None] * len(table.rows))
        sections[f"place{i}"] = (table.title, f'<section id="place{i}"><h2>{text(table.title)}</h2>{html}</section>')
    by_suite: dict[str, list[GroupTables]] = {}
    for each in groups:
        by_suite.setdefault(each.group.suite.name, []).append(each)
    for i, (name, own) in enumerate(by_suite.items()):
        parts = "".join(_group(each, f"{i + 1}.{j + 1}", details, figures, measured) for j, each in enumerate(own))
        sections[f"suite{i}"] = (name, f'<section id="suite{i}"><h2>{text(name)}</h2>{parts}</section>')
    data = {"rows": details.rows, "environments": details.environments, "figures": figures.found}
    runs = sum(run.result is not None for each in groups for run in each.group.runs)
    summary = f"{plural(runs, 'run')} of {plural(len(by_suite), 'suite')}, cmbench {VERSION}"
    return _document(summary, sections, embed.data(data))


class _Figures:
    """Collects what is drawn."""

    def __init__(self, views: Views, detail: Detail) -> None:
        self.found: list[dict[str, Any]] = []
        self._views, self._detail = views, detail

    def html(self, each: GroupTables, name: str, measured: Sequence[Result]) -> str:
        """The places of the figures of a group, called `name`."""
        ids = {run.result.id for run in each.group.runs if run.result}
        own = [result for result in measured if result.id in ids or result.settings.get("of") in ids]
        drawn = (learning_curves(each.group), trajectories(each.group, self._views, self._detail), spectra(own))
        return "".join(self._place(figure, name) for figure in drawn if figure)

    def _place(self, figure: Mapping[str, Any], name: str) -> str:
        number = len(self.found)
        self.found.append({**figure, "name": name})
        return (
            f'<figure data-figure="{number}"><figcaption><h3>{text(figure["title"])}</h3></figcaption>'
            '<div class="controls"></div><div class="plot"></div><div class="legend"></div>'
            '<p class="note"></p></figure>'
        )


def _group(each: GroupTables, number: str, details: Details, figures: _Figures, measured: Iterable[Result]) -> str:
    tables = "".join(
        table_html(table, f"{number}.{i + 1}", _heading(table), details.add(each.group, table))
        for i, table in enumerate(each.tables)
    )
    name = each.tables[0].title if each.tables else each.group.suite.name
    return f'<div class="group">{tables}{figures.html(each, name, list(measured))}</div>'


def _heading(table: Table) -> str:
    """The title of a table below that of its suite."""
    part = table.title.removeprefix(table.suite).removeprefix(":").strip()
    if table.kind in ("escape-ratio", "sharpness"):
        part = part.capitalize()
    return part or ("By optimizer" if any(row.optimizer for row in table.rows) else "Values")


def _document(summary: str, sections: Mapping[str, tuple[str, str]], data: str) -> str:
    from plotly.offline import get_plotlyjs

    links = "".join(f'<li><a href="#{key}">{text(name)}</a></li>' for key, (name, _) in sections.items())
    if len(sections) > _MANY:
        links = f"<details><summary>{len(sections)} sections</summary><ul>{links}</ul></details>"
    else:
        links = f"<ul>{links}</ul>"
    plotly, program = get_plotlyjs(), _file("page.js")
    return Template(_file("page.html")).substitute(
        scripts=f"{embed.fingerprint(plotly)} {embed.fingerprint(program)}",
        style=_file("page.css"),
        summary=text(summary),
        links=links,
        sections="".join(html for _, html in sections.values()),
        data=data,
        plotly=plotly,
        program=program,
    )


def _file(name: str) -> str:
    return files("cmbench.report.page").joinpath(name).read_text(encoding="utf-8")
