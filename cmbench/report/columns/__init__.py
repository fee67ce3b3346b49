"""Every column that a table can have, by the kind of run that the table is about; a module each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmbench.experiments.kinds import Kind
from cmbench.report.columns import convergence, escape, sharpness, toy, training
from cmbench.report.table import Column

COLUMNS: Mapping[Kind, tuple[Column[Any], ...]] = {
    "train": training.COLUMNS,
    "sharpness": sharpness.COLUMNS,
    "toy": toy.COLUMNS,
    "escape-ratio": escape.COLUMNS,
    "convergence": convergence.COLUMNS,
}
"""Where key and title depend on what a suite holds, words in capitals stand in its place: `vs OPTIMIZER`, `s=S`."""
