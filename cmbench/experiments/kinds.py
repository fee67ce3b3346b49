"""The kinds of suites and of runs; where it takes nothing to know them, commands list them in their help."""

from typing import Literal

Kind = Literal["train", "toy", "escape-ratio", "sharpness", "convergence"]
LANDSCAPES: tuple[Kind, ...] = ("toy", "escape-ratio")
"""The kinds of which a run is a cell of many starts."""
