"""How a line is drawn on the page: the colours and dashes of the figures, as plotly writes them."""

from __future__ import annotations

from typing import Any

from cmbench.report.figures.drawing import Style


def line_of(name: str, style: Style) -> dict[str, Any]:
    """`name`, `colour`, `dash` (in pixels, `solid` for none) and `width` of a line."""
    solid = style.dashes == "-"
    dash = "solid" if solid else ",".join(f"{round(2 * length, 1):g}px" for length in style.dashes[1])
    return {"name": name, "colour": style.colour, "dash": dash, "width": round(1.2 + 0.7 * style.weight, 2)}
