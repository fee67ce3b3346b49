"""`cmbench report`: the stored results as the paper's tables, and verdicts on its claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cmbench.cli.options import DEFAULT_OUT, Json, Out
from cmbench.cli.plots import AnyAxis, checked_folder, save_figures

if TYPE_CHECKING:
    from cmbench.report import Asked, Format


Suite = Annotated[
    list[str] | None, typer.Option("--suite", metavar="NAME|FILE", help="Only this suite. Repeatable. [default: all]")
]
TableNumber = Annotated[
    list[int] | None, typer.Option("--table", metavar="N", help="Table N of the paper, as one table. Repeatable.")
]
Figure = Annotated[
    list[int] | None, typer.Option("--figure", metavar="N", help="What Figure N of the paper shows. Repeatable.")
]
Claims = Annotated[
    bool, typer.Option("--claims", help="Judge the paper's claims instead: all, or those of what is asked for.")
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="CLAIM",
        help="Exit 1 unless this claim is reproduced; a pattern like 'table2/*' means several. Repeatable.",
    ),
]
AnyFormat = Annotated[
    Literal["terminal", "markdown", "latex", "csv", "json"],
    typer.Option("--format", help="How to print; csv and json hold every digit."),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Say what every column of every table means, and print no table.")
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="DIR", help="Also draw every figure that these results allow, each as a file there."
    ),
]
PlotFormat = Annotated[Literal["png", "svg", "pdf"], typer.Option("--plot-format", help="Of these files.")]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write all of it as one page that opens without a network."),
]


def report(
    suite: Suite = None,
    table: TableNumber = None,
    figure: Figure = None,
    claims: Claims = False,
    require: Require = None,
    out: Out = DEFAULT_OUT,
    format: AnyFormat = "terminal",
    explain: Explain = False,
    plot: Plot = None,
    plot_format: PlotFormat = "png",
    axis: AnyAxis = None,
    html: Html = None,
    json: Json = False,
) -> None:
    """Print what the results say: mean ± standard deviation beside the paper's numbers, and what is missing.

    With --claims: which claims of the paper come out, with intervals, p-values and what would settle the others.
    """
    import cmbench.report as report
    from cmbench.errors import MissingResults, UserError

    form: Format = "json" if json else format
    folder = checked_folder(plot)
    if folder and (explain or claims or require):
        raise UserError("--plot: accepted: without --explain, --claims and --require")
    if explain:
        print(report.explain(form), end="")
        return
    asked = report.ask(out, suite or (), table or (), figure or ()) if html or not (claims or require) else None
    if html and asked:
        _page(html, asked)
    if claims or require or not asked:
        _judge(out, suite or [], table or [], figure or [], require or [], form)
        return
    if asked.tables:
        print(report.render(asked.tables, form), end="")
    if folder:
        from cmbench.cli.landscapes import view_of

        save_figures(report.asked_figures(asked, view_of, axis), folder, plot_format)
    if asked.missing:
        raise MissingResults("\n".join(asked.missing))


def _page(file: Path, asked: Asked) -> None:
    """Writes the page and says where it is, where there are results to show."""
    import sys

    import cmbench.report as report
    from cmbench.cli.landscapes import view_of

    if report.write_page(file, asked, view_of):
        print(f"page: {file}", file=sys.stderr)


def _judge(
    out: Path, suites: list[str], tables: list[int], figures: list[int], require: list[str], form: Format
) -> None:
    """Prints verdicts; exit code 1 for what is required and not reproduced, 4 where something asked for is missing."""
    import sys

    import cmbench.report as report
    from cmbench.errors import MissingResults
    from cmbench.experiments.text import printable
    from cmbench.report.verdicts import select

    results = report.load_results(out)
    every = report.judge(results, out=out)
    wanted = select.required(every, require)
    shown = select.chosen(every, suites=suites, tables=tables, figures=figures)
    selected = bool(suites or tables or figures)
    if wanted and not selected:
        shown = wanted
    print(report.render_claims(shown, form), end="")
    unmet = [v for v in wanted if v.verdict != "reproduced"]
    if unmet:
        for line in [*results.unreadable, *(f"--require: {v.claim.id}: {v.verdict}" for v in unmet)]:
            print(f"cmbench: {printable(line)}", file=sys.stderr)
        raise typer.Exit(1)
    if lines := [*results.unreadable, *(select.missing(shown) if selected else results.missing)]:
        raise MissingResults("\n".join(lines))
