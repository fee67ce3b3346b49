"""The choice among the formats that tables are printed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from cmbench.errors import unknown
from cmbench.report.formats.csv import render_csv
from cmbench.report.formats.json import render_json
from cmbench.report.formats.latex import render_latex
from cmbench.report.formats.markdown import render_markdown
from cmbench.report.formats.terminal import render_terminal
from cmbench.report.table import Table

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["terminal", "markdown", "latex", "csv", "json"]
FORMATS: tuple[str, ...] = get_args(Format)
_DOCUMENTS: dict[str, Callable[[Sequence[Table]], str]] = {
    "markdown": render_markdown,
    "latex": render_latex,
    "csv": render_csv,
    "json": render_json,
}


def render(tables: Sequence[Table], format: Format = "terminal", *, console: Console | None = None) -> str:
    """`tables` as text that ends with a newline.

    `terminal` fits the width of `console` (stdout's by default): what is too wide goes on below, under the same rows.
    It is bold and coloured where `console` is a terminal; elsewhere a `*` follows the best of a column. `markdown` and
    `latex` (with booktabs) hold the same text. `csv` has one line per cell, in full precision.

    `json` is `{"schema": "cmbench.report/1", "tables": [...]}`. A table has `suite, kind, title, caption, settings,
    differs, columns, rows, footnotes, verbatim` (lines to be copied); a column `key, title, better` (`higher`, `lower`
    or null); a row `title, label, optimizer, hyperparameters, runs` and `cells` by column key. A cell has `value` (the
    mean), `spread` (sample standard deviation), `n`, `interval` (95 %, of a difference), `best`, `notes` and `paper`
    (`value, spread, table, column`).
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS, "--format")
    return render_terminal(tables, console) if format == "terminal" else _DOCUMENTS[format](tables)
