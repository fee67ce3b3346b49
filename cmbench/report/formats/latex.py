"""Tables as LaTeX with booktabs, each no wider than a page."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

from cmbench.experiments.files import folder_name
from cmbench.report.formats.grid import PrintedColumn, printed_columns
from cmbench.report.table import Table

PACKAGES = ("booktabs", "longtable", "array")
"""What a document has to use."""
_WIDTH = 76
"""Characters, two between columns among them, that fit on a line of LaTeX's article in footnotesize."""
_HEADER_WIDTH = 14
_LONG = 40
"""Rows from which a table may go on on the next page."""
_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "−": "$-$",
    "√": r"$\surd$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "÷": r"$\div$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "∞": r"$\infty$",
    "Σ": r"$\Sigma$",
    "‖": r"$\|$",
    "½": r"$\frac{1}{2}$",
    "²": "$^2$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "“": "``",
    "”": "''",
    "\N{NO-BREAK SPACE}": "~",
    **{chr(ord("₀") + digit): f"$_{digit}$" for digit in range(10)},
}


def escaped(text: str) -> str:
    """`text` with what LaTeX would take for a command, or does not know, written as it wants it."""
    return "".join(map(_character, text))


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    name = unicodedata.name(character, "")
    if name.startswith("GREEK SMALL LETTER "):
        return rf"$\{name.removeprefix('GREEK SMALL LETTER ').lower().replace('lamda', 'lambda')}$"
    return character


def render_latex(tables: Sequence[Table]) -> str:
    """One `table` environment each, with caption and `\\label{tab:SUITE}`; many rows go on on the next page.

    What is too wide for a page goes on below, under the same rows. A document needs the packages of `PACKAGES`, which
    the first line names.
    """
    labels: dict[str, int] = {}
    parts = [f"% needs \\usepackage{{{','.join(PACKAGES)}}}\n"]
    for table in tables:
        label = f"tab:{folder_name(table.suite)}"
        labels[label] = labels.get(label, 0) + 1
        parts.append(_table(table, label if labels[label] == 1 else f"{label}-{labels[label]}"))
    return "\n".join(parts)


def _table(table: Table, label: str) -> str:
    blocks = _blocks(printed_columns(table))
    caption = escaped(". ".join((table.title, *table.caption)))
    head = rf"\caption{{{caption}}}\label{{{label}}}"
    notes = "".join(rf"\par {escaped(note)}" + "\n" for note in table.footnotes)
    lines = "".join(line.replace("±", "+-") + "\n" for line in table.verbatim)
    after = f"{{\\scriptsize\n\\begin{{verbatim}}\n{lines}\\end{{verbatim}}\n}}\n" if lines else ""
    if len(table.rows) > _LONG:
        body = "".join(_long(block, head if i == 0 else "") for i, block in enumerate(blocks))
        return f"{{\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n{body}{notes}}}\n{after}"
    body = "\n\\medskip\n".join(map(_tabular, blocks))
    inside = (
        f"\\centering\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n{head}\n{body}\n\n\\raggedright\\scriptsize\n"
    )
    return f"\\begin{{table}}\n{inside}{notes}\\end{{table}}\n{after}"


def _blocks(printed: Sequence[PrintedColumn]) -> list[list[PrintedColumn]]:
    """The columns in as few groups as fit on a page, each with the titles of the rows first."""
    first, *rest = printed
    groups: list[list[PrintedColumn]] = []
    for column in rest:
        if column.with_previous and groups:
            groups[-1].append(column)
        else:
            groups.append([column])
    blocks: list[list[PrintedColumn]] = []
    for group in (part for wide in groups for part in _parts(first, wide)):
        if blocks and sum(map(_width, [first, *blocks[-1], *group])) <= _WIDTH:
            blocks[-1] += group
        else:
            blocks.append(list(group))
    return [[first, *block] for block in blocks] or [[first]]


def _parts(first: PrintedColumn, group: list[PrintedColumn]) -> list[list[PrintedColumn]]:
    """Columns that belong together; where they are too wide for a page, only the paper's stay with their neighbours."""
    if sum(map(_width, [first, *group])) <= _WIDTH:
        return [group]
    parts: list[list[PrintedColumn]] = []
    for column in group:
        if column.header == "paper" and parts:
            parts[-1].append(column)
        else:
            parts.append([column])
    return parts


def _width(column: PrintedColumn) -> int:
    lines = [line for text in (*_header_lines(column), *column.texts) for line in text.splitlines()]
    return 2 + max(map(len, lines), default=0)


def _header_lines(column: PrintedColumn) -> list[str]:
    together = column.header.replace(" ↑", "\N{NO-BREAK SPACE}↑").replace(" ↓", "\N{NO-BREAK SPACE}↓")
    return textwrap.wrap(together, _HEADER_WIDTH, break_long_words=False, break_on_hyphens=False) or [""]


def _rows(block: Sequence[PrintedColumn]) -> tuple[str, str, str]:
    """The columns' alignment, the header, the rows."""
    align = "".join("l" if column.left else "r" for column in block)
    heads = []
    for column in block:
        lines = [escaped(line) for line in _header_lines(column)]
        together = r" \\ ".join(lines)
        stack = rf"\shortstack[{'l' if column.left else 'r'}]{{{together}}}"
        heads.append(stack if len(lines) > 1 else lines[0])
    rows = [
        " & ".join(
            rf"\textbf{{{escaped(c.texts[i])}}}" if c.best[i] else escaped(c.texts[i]).replace("\n", " ") for c in block
        )
        for i in range(len(block[0].texts))
    ]
    return align, " & ".join(heads) + r" \\", "\n".join(rf"{row} \\" for row in rows)


def _tabular(block: Sequence[PrintedColumn]) -> str:
    align, head, rows = _rows(block)
    return f"\\begin{{tabular}}{{{align}}}\n\\toprule\n{head}\n\\midrule\n{rows}\n\\bottomrule\n\\end{{tabular}}\n"


def _long(block: Sequence[PrintedColumn], caption: str) -> str:
    align, head, rows = _rows(block)
    first = f"{caption}\\\\\n" if caption else ""
    top = f"\\toprule\n{head}\n\\midrule\n"
    return (
        f"\\begin{{longtable}}{{{align}}}\n{first}{top}\\endfirsthead\n{top}\\endhead\n\\bottomrule\n\\endfoot\n"
        f"{rows}\n\\end{{longtable}}\n"
    )
