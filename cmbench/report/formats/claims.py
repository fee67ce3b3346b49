"""Verdicts on the paper's claims: a list for the terminal, tables in Markdown and LaTeX, comparisons in CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cmbench.errors import unknown
from cmbench.report.formats.choice import FORMATS, Format
from cmbench.report.formats.claims_json import render_claims_json
from cmbench.report.formats.latex import PACKAGES
from cmbench.report.formats.latex import escaped as latex
from cmbench.report.formats.markdown import escaped as markdown
from cmbench.report.formats.terminal import captured
from cmbench.report.verdicts.judge import Verdict
from cmbench.report.verdicts.printed import AsPrinted
from cmbench.report.verdicts.sentences import effect_text, needed_text, p_text, place_text, verdict_counts

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: Mapping[str, str] = {
    "reproduced": "bold green",
    "contradicted": "bold red",
    "different": "bold magenta",
    "alike": "bold cyan",
    "inconclusive": "bold yellow",
    "incomplete": "bold",
    "not run": "dim",
}
_HEADER = ("place", "claim", "as printed", "here", "p (Holm)", "verdict", "needed")


def render_claims(verdicts: Sequence[Verdict], format: Format = "terminal", *, console: Console | None = None) -> str:
    """`verdicts` as text that ends with a newline.

    `terminal` lists the claims that were run, each with what is printed and what was found here, then the commands that
    would run the others; `markdown` and `latex` have a row for every claim, `csv` a line for every comparison. `json`
    is `{"schema": "cmbench.claims/1", "claims": [...]}` as `cmbench doctor --schema claims` describes it. Raises
    `UserError` for another format.
    """
    if format == "terminal":
        return _terminal(verdicts, console)
    documents: Mapping[str, Callable[[Sequence[Verdict]], str]] = {
        "markdown": _markdown,
        "latex": _latex,
        "csv": _csv,
        "json": render_claims_json,
    }
    if format not in documents:
        raise unknown("format", format, FORMATS, "--format")
    return documents[format](verdicts)


def _terminal(verdicts: Sequence[Verdict], console: Console | None) -> str:
    from rich.padding import Padding
    from rich.table import Column as RichColumn
    from rich.table import Table as RichTable
    from rich.text import Text

    buffer, printed = captured(console)
    place = None
    for verdict in verdicts:
        if verdict.verdict == "not run":
            continue
        if (here := place_text(verdict.claim)) != place:
            place = here
            buffer.print(Text(f"\n{place}", style="bold"))
        head = RichTable.grid(RichColumn(min_width=12, no_wrap=True), RichColumn(), padding=(0, 1, 0, 0))
        head.add_row(Text(verdict.verdict, style=_STYLES[verdict.verdict]), verdict.claim.text)
        buffer.print(Padding(head, (0, 0, 0, 1)))
        printed_here = [] if verdict.claim.place.is_ours else [f"as printed: {printed_text(verdict.printed)}"]
        for line in (*_found(verdict), *printed_here, verdict.claim.id):
            buffer.print(Padding(Text(line, style="dim"), (0, 0, 0, 3)))
    waiting: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.verdict == "not run":
            waiting.setdefault(verdict.command, []).append(verdict.claim.id)
    if waiting:
        buffer.print(Text("\nNot run", style="bold"))
        for command, ids in waiting.items():
            buffer.print(Padding(Text(f"{command}", style="bold"), (0, 0, 0, 1)))
            buffer.print(Padding(Text(", ".join(ids), style="dim"), (0, 0, 0, 3)))
    buffer.print(Text(f"\n{verdict_counts(verdicts)}"))
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines()) + "\n"


def _found(verdict: Verdict) -> list[str]:
    """The lines about what was found here: the comparison that says least for the claim, and how sure it is."""
    lines = []
    if pair := verdict.deciding:
        parts = [effect_text(pair), f"{verdict.n} {verdict.unit}"]
        if len(verdict.pairs) > 1:
            parts[0] += f" (the weakest of {len(verdict.pairs)} comparisons)"
        if verdict.p is not None and verdict.verdict != "contradicted":
            parts.insert(1, f"{p_text(verdict.p)}{_holm(verdict, ' (Holm: {})')}")
        lines.append(f"here: {', '.join(parts)}")
    elif verdict.n:
        lines.append(f"here: all of {verdict.n} {verdict.unit}" if verdict.verdict == "reproduced" else "here: not all")
    lines += [f"{verdict.unit} needed: {text}" for text in needed_text(verdict)]
    if verdict.verdict == "incomplete":
        lines += [*verdict.missing, f"to complete it: {verdict.command}"]
    return lines


def _holm(verdict: Verdict, form: str) -> str:
    return "" if verdict.p_holm is None else form.format(p_text(verdict.p_holm).removeprefix("p ").removeprefix("= "))


def printed_text(printed: AsPrinted) -> str:
    """What the paper's own numbers say: `indistinguishable (p = 0.61)`."""
    if printed.p is not None:
        return f"{printed.verdict} ({p_text(printed.p)})"
    if printed.verdict == "no spread":
        order = "in this order" if printed.ordered else "not in this order"
        return f"means {order}, without spreads"
    return "no numbers to test"


def _cells(verdict: Verdict) -> list[str]:
    """A row of the table: the texts under `_HEADER`."""
    pair = verdict.deciding
    here = "" if pair is None else effect_text(pair)
    if verdict.missing and verdict.verdict == "incomplete":
        here = "; ".join(verdict.missing)
    p = "" if verdict.p is None else p_text(verdict.p).removeprefix("p ").removeprefix("= ") + _holm(verdict, " ({})")
    needed = f"{verdict.needed:,} {verdict.unit}" if verdict.needed else ""
    if verdict.verdict == "not run":
        here, needed = "", ""
    return [
        place_text(verdict.claim),
        verdict.claim.text,
        printed_text(verdict.printed),
        here,
        p,
        verdict.verdict,
        needed,
    ]


def _markdown(verdicts: Sequence[Verdict]) -> str:
    from tabulate import tabulate

    rows = [[markdown(text) for text in _cells(verdict)] for verdict in verdicts]
    body = tabulate(rows, headers=_HEADER, tablefmt="pipe", disable_numparse=True)
    return f"{body}\n\n{markdown(verdict_counts(verdicts))}\n"


def _latex(verdicts: Sequence[Verdict]) -> str:
    widths = (0.1, 0.21, 0.17, 0.17, 0.09, 0.13)
    columns = "".join(rf">{{\raggedright\arraybackslash}}p{{{width}\linewidth}}" for width in widths)
    head = " & ".join(_HEADER[:-1])
    rows = []
    for verdict in verdicts:
        *cells, needed = _cells(verdict)
        cells[-1] += f" ({needed} needed)" if needed else ""
        rows.append(" & ".join(map(latex, cells)) + r" \\")
    body = "\n".join(rows)
    return (
        f"% needs \\usepackage{{{','.join(PACKAGES)}}}\n{{\\scriptsize\\setlength{{\\tabcolsep}}{{3pt}}\n"
        f"\\begin{{longtable}}{{{columns}}}\n\\caption{{Claims of the paper: {latex(verdict_counts(verdicts))}}}"
        f"\\label{{tab:claims}}\\\\\n\\toprule\n{head} \\\\\n\\midrule\n\\endfirsthead\n\\toprule\n{head} \\\\\n"
        f"\\midrule\n\\endhead\n\\bottomrule\n\\endfoot\n{body}\n\\end{{longtable}}\n}}\n"
    )


def _csv(verdicts: Sequence[Verdict]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([
        *("id", "place", "claim", "suite", "metric", "verdict", "p", "p_holm", "needed", "unit", "printed_verdict"),
        *("printed_p", "better", "worse", "measure", "effect", "low", "high", "pair_p", "n"),
    ])  # fmt: skip
    for v in verdicts:
        claim = [v.claim.id, v.claim.place.text, v.claim.text, v.claim.suite, v.claim.metric]
        about = [*claim, v.verdict, v.p, v.p_holm, v.needed, v.unit, v.printed.verdict, v.printed.p]
        for pair in v.pairs:
            low, high = pair.comparison.interval or (None, None)
            found = [pair.comparison.effect, low, high, pair.asserted.p_for, pair.comparison.n]
            writer.writerow([*about, pair.better, pair.worse, pair.measure, *found])
        if not v.pairs:
            writer.writerow([*about, *[""] * 7])
    return stream.getvalue()
