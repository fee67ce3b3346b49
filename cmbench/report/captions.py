"""How optimizers, schedules and surfaces are put into words, in titles and captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmbench.experiments.grid import split_label
from cmbench.experiments.result import OptimizerReference
from cmbench.experiments.settings import PaperReference
from cmbench.experiments.text import value_text
from cmbench.optim.registry import title_of
from cmbench.report.table import Difference


def optimizer_text(optimizer: OptimizerReference) -> str:
    """`Adam+CM`, `Adam+CM C=20` for the label `adam_cm C=20`, `Adam (mine) lr=0.1` for the label `mine lr=0.1`."""
    title = title_of(optimizer.name, optimizer.hyperparameters)
    label, setting = split_label(optimizer.label, optimizer.hyperparameters)
    rest = label.removeprefix(optimizer.name)
    # `adamw` for `torch.optim:AdamW`, or `module:NAME+sam`, says no more than the title.
    if rest and not rest.startswith("+") and label.lower() != title.lower():
        title = f"{title} {rest.strip()}" if rest.startswith(" ") else f"{title} ({label})"
    return f"{title} {setting}".strip()


def plural(count: int | None, word: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def schedule_text(schedule: Mapping[str, Any], unit: str) -> str:
    """What the learning rate does over time; `unit` is `epoch` or `step`."""
    name, warmup, floor = schedule.get("name", "constant"), schedule.get("warmup", 0), schedule.get("floor", 0)
    if name == "step":
        milestones = schedule["milestones"]
        several = f"{unit}s" if len(milestones) > 1 else unit
        text = f"learning rate ×{value_text(schedule['gamma'])} at {several} {', '.join(map(str, milestones))}"
    elif name == "constant":
        text = "constant learning rate"
    else:
        share = f" over the last {schedule['decay']:.0%}" if name == "wsd" else ""
        text = f"{name} learning rate" + share + (f" to ×{value_text(floor)}" if floor else "")
    if not warmup:
        return text
    return f"{text}, {f'{warmup:.3g} of the' if warmup < 1 else value_text(warmup)} steps of warm-up"


def surface_text(settings: Mapping[str, Any]) -> str:
    """A surface with its sharpness coefficient, where it has one."""
    surface, coefficient = str(settings["surface"]), settings.get("sharpness")
    return surface if coefficient is None else f"{surface}, s={value_text(coefficient)}"


def landscape_text(settings: Mapping[str, Any], seed: int, paper: PaperReference | None = None) -> str:
    """The surface, its dimension, the starts (beside the paper's), the steps and the schedule of a landscape run."""
    given, drawn = len(settings.get("start_points") or ()), settings["starts"]
    parts = [plural(given, "given start")] if given else []
    if drawn or not given:
        where = f" in {value_text(settings['domain'])}" if settings.get("domain") else ""
        beside = f"; paper: {paper.starts}" if paper and paper.starts else ""
        parts.append(f"{plural(drawn, 'start')}{where} (seed {seed}{beside})")
    starts = " and ".join(parts)
    schedule = schedule_text(settings.get("schedule") or {}, "step")
    return f"{settings['surface']} in {settings['dim']}-D: {starts}, {settings['steps']} steps, {schedule}"


def table_caption(description: str | None, text: str, differs: Sequence[Difference]) -> tuple[str, ...]:
    """The lines between a table's title and its columns: its suite, its settings, and what is unusual about them."""
    lines = [description] if description is not None else []
    lines.append(text)
    if differs:
        parts = []
        for difference in differs:
            suite = f" (suite: {value_text(difference.suite)})" if difference.from_suite else ""
            parts.append(f"{difference.key} {value_text(difference.value)}{suite}")
        others = any(difference.from_suite for difference in differs)
        origin = "not the suite's settings" if others else "one of several settings"
        lines.append(f"{origin}: {', '.join(parts)}")
    return tuple(lines)
