"""`cmbench suites`: what can be run."""

from __future__ import annotations

import json as json_module
import re
from typing import Annotated, get_args

import typer

from cmbench.cli.options import Json, Opt, Set
from cmbench.experiments.kinds import Kind


def suites(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", help="Print this suite, resolved.")] = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help="List only suites of this kind.")] = None,
    opt: Opt = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """List the suites that ship with cmbench by kind, or print one with every value filled in."""
    from cmbench.errors import UserError
    from cmbench.experiments.settings import TrainSuite
    from cmbench.experiments.suite import builtin_suites, load_suite, read_suite
    from cmbench.workloads.registry import unusual_options

    if name:
        if kind:
            raise UserError("--kind: accepted without NAME")
        suite = load_suite(name, opts=opt or (), sets=set_ or ())
        if isinstance(suite.settings, TrainSuite):
            unusual_options(suite.settings.workload, suite.settings.options, f"{suite.name}.yaml: workload")
        print(json_module.dumps(suite.document(), indent=1, ensure_ascii=False) if json else suite.as_yaml().rstrip())
        return
    if opt or set_:
        raise UserError("--opt and --set: accepted with NAME")
    rows = []
    for suite_name in sorted(builtin_suites(), key=_in_natural_order):
        _, _, content = read_suite(suite_name)
        if kind in (None, content["kind"]):
            rows.append({"name": suite_name, "kind": content["kind"], "description": content["description"]})
    rows.sort(key=lambda row: get_args(Kind).index(row["kind"]))
    if json:
        print(json_module.dumps(rows, indent=1, ensure_ascii=False))
    else:
        _print(rows)


def _in_natural_order(name: str) -> list[str | int]:
    """A key that orders `figure2` before `figure11`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _print(rows: list[dict[str, str]]) -> None:
    """A line for each, cut at the edge of a terminal; a heading for each kind."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    width = max((len(row["name"]) for row in rows), default=0)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        console.print(Text(f"cmbench {kind} --suite …", style="bold"))
        for row in rows:
            if row["kind"] == kind:
                line = Text(f"  {row['name']:{width}}  {row['description']}")
                if console.is_terminal:
                    line.truncate(console.width, overflow="ellipsis")
                console.print(line)
        console.print()
    console.print("cmbench suites NAME prints one with every value filled in")
