"""Which published number a row of a table stands beside, and where it is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmbench.experiments.result import OptimizerReference
from cmbench.experiments.settings import PaperReference
from cmbench.experiments.text import canonical
from cmbench.optim.registry import REGISTRY
from cmbench.report.paper.numbers import VALUES, PaperValue


def paper_value(
    table: int | None, column: str | None, optimizer: str | None, metric: str, hyperparameters: Mapping[str, Any]
) -> PaperValue | None:
    """The published number for an optimizer (registry name) in a column of a table, or None.

    Where the table gives hyperparameters, they must be those of `hyperparameters`, which may hold more.
    """
    for value in VALUES:
        if (value.table, value.column, value.optimizer, value.metric) == (table, column, optimizer, metric) and all(
            hyperparameters.get(name) == number for name, number in value.hyperparameters.items()
        ):
            return value
    return None


@dataclass(frozen=True)
class PaperPlace:
    """The place in the paper that a suite corresponds to, and the optimizers as the suite's file sets them."""

    place: PaperReference
    optimizers: tuple[OptimizerReference, ...]

    @property
    def metrics(self) -> set[str]:
        """What the paper prints there."""
        return {v.metric for v in VALUES if (v.table, v.column) == (self.place.table, self.place.column)}

    def has(self, label: str | None, hyperparameters: Mapping[str, Any]) -> bool:
        """Whether the suite's file has an optimizer under that label with these hyperparameters."""
        wanted = canonical([label, hyperparameters])
        return any(canonical([entry.label, entry.hyperparameters]) == wanted for entry in self.optimizers)

    def value(self, metric: str, optimizer: OptimizerReference, column: str | None = None) -> PaperValue | None:
        """The paper's number for an optimizer that is set as the suite sets it; None for other settings.

        `column` is that of the paper's table where the suite names none.
        """
        value = paper_value(
            self.place.table, self.place.column or column, optimizer.name, metric, optimizer.hyperparameters
        )
        if value is None or value.hyperparameters:
            return value
        own = {entry.label: entry for entry in self.optimizers if entry.name == optimizer.name}
        if not own:  # an optimizer that the paper measured and the suite lacks, with the registry's defaults
            return value if optimizer.label == optimizer.name else None
        entry = own.get(optimizer.name) or next(iter(own.values()))
        as_suite = canonical([entry.label, entry.hyperparameters])
        return value if as_suite == canonical([optimizer.label, optimizer.hyperparameters]) else None


def paper_sources(shown: Sequence[PaperValue], other_settings: bool) -> list[str]:
    """Where the numbers that are `shown` are printed; `other_settings`: results with others stand beside them."""
    if not shown:
        return []
    notes = [f"paper: Table {shown[0].table}, column {shown[0].column}"]
    if other_settings:
        notes[0] += " (obtained with the suite's settings, not with these)"
    for value in shown:
        if value.place:
            notes.append(f"paper: the value of {REGISTRY[value.optimizer].title} stands in {value.place}")
    return notes
