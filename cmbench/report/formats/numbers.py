"""How numbers are written: decimals by column, a minus sign that is none of ASCII's, intervals, shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cmbench.report.table import Cell, NumberFormat


@dataclass(frozen=True)
class Notation:
    """How all numbers of a column are printed: with so many decimals, as `1.5e-03` where `scientific`."""

    decimals: int
    scientific: bool = False

    @staticmethod
    def of(format: NumberFormat, cells: Sequence[Cell], narrow: bool = False) -> Notation:
        """Two decimals (one beside numbers from 100 on), or as many as give the largest number three significant
        digits and the largest spread two.

        A column of which a mean would round to nothing is scientific as a whole: one notation per column.
        """
        if format != "significant":
            return Notation({"hundredths": 2, "share": 2, "ratio": 2, "integer": 0, "rate": 5}[format])
        values = [abs(cell.value) for cell in cells if cell.value]
        spreads = [cell.spread for cell in cells if cell.value is not None and cell.spread]
        wanted = [2 - _magnitude(values, 1.0), *([1 - _magnitude(spreads, 1.0)] if spreads else [])]
        decimals = min(4, max(2, *wanted)) if max(values, default=0.0) < 100 else 1
        if values and (min(values) < 0.5 * 10**-decimals or max(values) >= 1e7):
            return Notation(1 if narrow else 2, scientific=True)
        return Notation(decimals)

    def text(self, value: float, signed: bool = False) -> str:
        """`value` as text, with a minus sign that is none of ASCII's."""
        sign = "+" if signed else ""
        if self.scientific:
            text = f"{value:{sign}.{self.decimals}e}"
        else:
            comma = "," if abs(value) >= 1e4 else ""
            text = f"{value:{sign}{comma}.{self.decimals}f}"
        return f"−{text[1:]}" if text.startswith("-") else text


def _magnitude(values: Sequence[float], default: float) -> int:
    return math.floor(math.log10(max(values, default=default)))


def cell_text(cell: Cell, format: NumberFormat, notation: Notation, narrow: bool = False) -> str:
    """`94.40 ± 0.40`, `0.62 (31/50)`, `0.28 (.17–.42)`, `+0.42 [+0.10, +0.74]`, or why there is no number."""
    if cell.value is None:
        return ", ".join(cell.notes) or "—"
    if format == "share":
        counts = ", ".join([f"{round(cell.value * cell.n)}/{cell.n}", *cell.notes])
        return counts if narrow else f"{cell.value:.2f} ({counts})"
    if format == "ratio":
        ends = "" if cell.interval is None else "–".join(_fraction(end) for end in cell.interval)
        ends = f" {ends}" if narrow else f" ({ends})" if ends else ""
        return ", ".join([f"{cell.value:.2f}{ends}", *cell.notes])
    if cell.interval:
        low, high = (notation.text(end, signed=True) for end in cell.interval)
        text = f"{notation.text(cell.value, signed=True)} [{low}, {high}]"
    elif cell.spread is None or format == "integer" or (narrow and notation.scientific):
        text = notation.text(cell.value)
    else:
        text = f"{notation.text(cell.value)} ± {notation.text(cell.spread)}"
    return f"{text} ({', '.join(cell.notes)})" if cell.notes else text


def _fraction(value: float) -> str:
    """A number from 0 to 1 in three characters: `.17`, `1.0`."""
    text = f"{value:.2f}"
    return text[:3] if text.startswith("1") else text[1:]


def paper_text(cell: Cell, decimals: int) -> str:
    """The paper's number with as many decimals as it is printed with: `94.0 ± 0.3`."""
    if cell.paper is None:
        return "—"
    spread = "" if cell.paper.spread is None else f" ± {cell.paper.spread:.{decimals}f}"
    return f"{cell.paper.value:.{decimals}f}{spread}"
