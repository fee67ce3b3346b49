"""Tables as LaTeX, without packages."""

from __future__ import annotations

from collections.abc import Sequence

from cmbench.report.formats.grid import printed_columns
from cmbench.report.table import Table

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "−": "$-$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "θ": r"$\theta$",
        "₀": "$_0$",
        "₁": "$_1$",
        "₂": "$_2$",
        "λ": r"$\lambda$",
        "β": r"$\beta$",
        "κ": r"$\kappa$",
        "ρ": r"$\rho$",
        "γ": r"$\gamma$",
        "‖": r"$\|$",
        "–": "--",
        "—": "---",
        "…": r"\dots{}",
    }
)


def escaped(text: str) -> str:
    """`text` with what LaTeX would take for a command, or cannot print, escaped."""
    return text.translate(_ESCAPES)


def render_latex(tables: Sequence[Table]) -> str:
    """One `table` environment each, without packages; the caption is the title and what stands below it."""
    from tabulate import tabulate

    parts = []
    for table in tables:
        grid = printed_columns(table)
        rows = [
            [
                rf"\textbf{{{c.texts[i].translate(_ESCAPES)}}}" if c.best[i] else c.texts[i].translate(_ESCAPES)
                for c in grid
            ]
            for i in range(len(table.rows))
        ]  # fmt: skip
        body = tabulate(
            rows,
            headers=[column.header.translate(_ESCAPES) for column in grid],
            tablefmt="latex_raw",
            colalign=["left" if column.left else "right" for column in grid],
            disable_numparse=True,
        )
        caption = ". ".join((table.title, *table.caption)).translate(_ESCAPES)
        notes = "".join(rf"\par\footnotesize {note.translate(_ESCAPES)}" + "\n" for note in table.footnotes)
        lines = "".join(line.replace("±", "+-") + "\n" for line in table.verbatim)
        block = f"\\begin{{verbatim}}\n{lines}\\end{{verbatim}}\n" if lines else ""
        parts.append(
            f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n{body}\n{notes}\\end{{table}}\n{block}"
        )  # fmt: skip
    return "\n".join(parts)
