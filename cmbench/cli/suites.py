"""`cmbench suites`: what can be run."""

from __future__ import annotations

from typing import Annotated

import typer

from cmbench.cli.options import Json, Opt, Set


def suites(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", help="Print this suite, resolved.")] = None,
    opt: Opt = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """List the suites that ship with cmbench, or print one with every value filled in."""
    import json as json_module

    from cmbench.experiments.suite import builtin_suites, load_suite, read_suite

    if name:
        print(load_suite(name, opts=opt or (), sets=set_ or ()).as_yaml(), end="")
        return
    rows = []
    for suite in builtin_suites():
        _, _, content = read_suite(suite)
        rows.append({"name": suite, "kind": content["kind"], "description": content["description"]})
    if json:
        print(json_module.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("suite", "kind", "description"):
        table.add_column(column, no_wrap=column != "description")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
