"""`cmbench optimizers`: which optimizers there are, and what each can be told."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmbench.cli.options import Json

if TYPE_CHECKING:
    from cmbench.optim.registry import OptimizerInfo


def optimizers(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Only this one, registered or MODULE:NAME or FILE.py:NAME, with all it can be told."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the optimizers, or the hyperparameters of one: their defaults, what they mean, what they accept."""
    from cmbench.errors import UserError
    from cmbench.experiments.outside import outside_document
    from cmbench.optim.registry import REGISTRY, get_info
    from cmbench.plugins.resolve import is_outside

    if name and name not in REGISTRY and is_outside(name, "optimizers"):
        outside = outside_document(name)
        if json:
            print(json_module.dumps([outside], indent=1, ensure_ascii=False))
        else:
            _print_outside(outside)
        return
    try:
        chosen = [get_info(name)] if name else list(REGISTRY.values())
    except ValueError as error:
        raise UserError(str(error)) from None
    if json:
        print(json_module.dumps([_document(info) for info in chosen], indent=1, ensure_ascii=False))
    elif name:
        _print_one(chosen[0])
    else:
        _print_all(chosen)


def _document(info: OptimizerInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "title": info.title,
        "description": info.description,
        "gradient_evaluations": info.gradient_evaluations,
        "hyperparameters": [
            {"name": h.name, "default": h.default, "description": h.description, "accepts": h.accepts}
            for h in info.hyperparameters.values()
        ],
    }


def _print_outside(document: dict[str, Any]) -> None:
    from rich.console import Console

    from cmbench.experiments.text import value_text

    print(f"{document['title']}: {document['description']}; {document['source']}")
    rows = ((h["name"], value_text(h["default"])) for h in document["hyperparameters"])
    Console().print(_table(("hyperparameter", "default"), rows))
    print("beside them probe (sam, meg) and memory (cg, cm) with their hyperparameters, rest and create_graph")


def _print_one(info: OptimizerInfo) -> None:
    from rich.console import Console

    from cmbench.experiments.text import value_text

    gradients = "a gradient" if info.gradient_evaluations == 1 else f"{info.gradient_evaluations} gradients"
    print(f"{info.title}: {info.description}; {gradients} per step")
    rows = ((h.name, value_text(h.default), h.description, h.accepts) for h in info.hyperparameters.values())
    Console().print(_table(("hyperparameter", "default", "meaning", "accepted"), rows))


def _print_all(chosen: Iterable[OptimizerInfo]) -> None:
    from rich.console import Console

    from cmbench.experiments.text import value_text
    from cmbench.optim.memories import MEMORIES
    from cmbench.optim.registry import HYPERPARAMETERS, PARTS
    from cmbench.plugins.resolve import FORMS, entry_points

    console = Console()
    # A name is rule[_probe][_memory]: a row per rule and probe, a column per memory.
    names: dict[tuple[str, str], list[str]] = {}
    for info in chosen:
        names.setdefault((info.rule.key, info.probe.key if info.probe else ""), []).append(info.name)
    memories = (f"with {memory.description}" for memory in MEMORIES.values())
    console.print(_table(("optimizer", *memories), names.values()))
    console.print(_table(("part", "what it is"), ((part.key, part.description) for part in PARTS)))
    rows = []
    for name, hyperparameter in HYPERPARAMETERS.items():
        having = {part.key: own for part in PARTS for own in part.hyperparameters if own.name == name}
        defaults = dict.fromkeys(value_text(own.default) for own in having.values())
        rows.append((name, " or ".join(defaults), ", ".join(having), hyperparameter.description))
    console.print(_table(("hyperparameter", "default", "of", "meaning"), rows))
    registered = entry_points("optimizers")
    if registered:
        console.print(_table(("registered by a package", "what it is"), sorted(registered.items())))
    print(f"any other class of torch.optim.Optimizer: {' or '.join(FORMS)}")
    print("cmbench optimizers NAME prints those of one, with what each accepts")


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=title in ("optimizer", "hyperparameter", "default"))
    for row in rows:
        table.add_row(*row)
    return table
